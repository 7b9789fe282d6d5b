"""The tap of my-own-table.md reads a CSV as other programs save it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from docs_support import DOCS, blocks
from meltano_support import changed_text


@pytest.fixture
def tap(tmp_path: Path) -> Path:
    (block,) = [one for one in blocks(DOCS / "my-own-table.md") if one.title == "csv_tap.py"]
    file = tmp_path / "csv_tap.py"
    file.write_text(block.text, encoding="utf-8")
    return file


def run(tap: Path, content: bytes) -> subprocess.CompletedProcess[str]:
    """Run the tap on a file with this content."""
    file = tap.with_name("orders.csv")
    file.write_bytes(content)
    command = [sys.executable, tap, file.name]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", check=False, cwd=tap.parent
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_part_of_a_name(tap: Path, encoding: str) -> None:
    done = run(tap, "order_no,name\r\n1,Zoë\r\n".encode(encoding))
    schema, record = map(json.loads, done.stdout.splitlines())
    assert list(schema["schema"]["properties"]) == ["order_no", "name"]
    assert record["record"] == {"order_no": "1", "name": "Zoë"}


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_another_encoding_ends_in_a_sentence(tap: Path, encoding: str) -> None:
    done = run(tap, "order_no,name\r\n1,Zoë\r\n".encode(encoding))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "orders.csv is not in utf-8-sig: write its encoding into csv_tap.py, such as cp1252\n"
    )


def test_the_first_lines_have_the_delimiter_and_the_encoding(tap: Path) -> None:
    """As the page says: a file with semicolons from a program on Windows needs two changes."""
    changes = {'DELIMITER = ","': 'DELIMITER = ";"', '"utf-8-sig"': '"cp1252"'}
    tap.write_text(changed_text(tap.read_text(encoding="utf-8"), changes), encoding="utf-8")
    done = run(tap, "order_no;name\r\n1;Zoë\r\n".encode("cp1252"))
    assert json.loads(done.stdout.splitlines()[1])["record"] == {"order_no": "1", "name": "Zoë"}


def test_an_empty_file_ends_in_a_sentence(tap: Path) -> None:
    done = run(tap, b"")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "orders.csv is empty: its first line must have the names of the columns\n"
    )


def test_a_file_without_rows_has_only_columns(tap: Path) -> None:
    """An hour without orders is no mistake."""
    done = run(tap, b"order_no,name\r\n")
    (schema,) = map(json.loads, done.stdout.splitlines())
    assert list(schema["schema"]["properties"]) == ["order_no", "name"]
