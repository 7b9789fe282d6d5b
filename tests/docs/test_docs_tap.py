"""The tap of my-own-table.md reads a CSV as other programs save it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from docs_support import DOCS, blocks


@pytest.fixture
def tap(tmp_path: Path) -> Path:
    (block,) = [one for one in blocks(DOCS / "my-own-table.md") if one.title == "csv_tap.py"]
    file = tmp_path / "csv_tap.py"
    file.write_text(block.text, encoding="utf-8")
    return file


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_encodings(tap: Path, encoding: str) -> None:
    """A byte-order mark is no part of a name, and another encoding ends in one line of help."""
    file = tap.with_name("orders.csv")
    file.write_bytes("order_no,name\r\n1,Zoë\r\n".encode(encoding))
    command = [sys.executable, tap, file]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if encoding.startswith("utf-8"):
        schema, record = map(json.loads, done.stdout.splitlines())
        assert list(schema["schema"]["properties"]) == ["order_no", "name"]
        assert record["record"] == {"order_no": "1", "name": "Zoë"}
    else:
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"{file} is not UTF-8: save it as UTF-8, or write its encoding above, such as cp1252\n"
        )


def test_an_empty_file(tap: Path) -> None:
    tap.with_name("orders.csv").touch()
    command = [sys.executable, tap, tap.with_name("orders.csv")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert json.loads(done.stdout)["schema"] == {"properties": {}}
