"""Files of BATCH messages: record by record, and a readable line for what cannot be read."""

from __future__ import annotations

import gzip
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from target_liveintent.errors import InputError
from target_liveintent.singer.batch_files import batch_records

if TYPE_CHECKING:
    from pathlib import Path

JSONL = {"format": "jsonl"}
GZIP = {"format": "jsonl", "compression": "gzip"}
LINES = b'{"id":1,"total":87.10}\n\n{"id":2,"total":NaN}\r\n{"id":3,"name":"\xc3\xbc"}'
RECORDS = [{"id": 1, "total": Decimal("87.10")}, {"id": 2, "total": None}, {"id": 3, "name": "ü"}]


def _file(folder: Path, content: bytes, name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "encoding", [JSONL, {**JSONL, "compression": None}, {**JSONL, "compression": "none"}]
)
def test_plain_lines(tmp_path: Path, encoding: dict[str, Any]) -> None:
    """JSON lines, blank ones left out, digits kept, NaN as null."""
    found = list(batch_records(encoding, [_file(tmp_path, LINES).as_uri()]))
    assert found == RECORDS
    assert str(found[0]["total"]) == "87.10"


def test_gzip(tmp_path: Path) -> None:
    """The same, compressed."""
    path = _file(tmp_path, gzip.compress(LINES), "a.jsonl.gz")
    assert list(batch_records(GZIP, [path.as_uri()])) == RECORDS


def test_several_files(tmp_path: Path) -> None:
    """Files are read in the order of the manifest; an empty file has no records."""
    paths = [_file(tmp_path, b'{"n":%d}' % n, f"{n}") for n in (3, 1)]
    paths.insert(1, _file(tmp_path, b"", "empty"))
    assert list(batch_records(JSONL, [path.as_uri() for path in paths])) == [{"n": 3}, {"n": 1}]
    assert list(batch_records(JSONL, [])) == []


def test_names_that_need_quoting(tmp_path: Path) -> None:
    """A file URL is percent-encoded."""
    path = _file(tmp_path, b'{"n":1}', "a b#ü%41?.jsonl")
    assert list(batch_records(JSONL, [path.as_uri()])) == [{"n": 1}]


def test_a_host_that_is_this_machine(tmp_path: Path) -> None:
    """Some taps write file://localhost/."""
    url = _file(tmp_path, b'{"n":1}').as_uri().replace("file://", "file://localhost")
    assert list(batch_records(JSONL, [url])) == [{"n": 1}]


def test_records_come_before_the_file_is_read_to_its_end(tmp_path: Path) -> None:
    """A file is never held as a whole: what is wrong later is found later."""
    path = _file(tmp_path, b'{"n":1}\n' * 3 + b"junk\n")
    found = batch_records(JSONL, [path.as_uri(), "file:///nowhere"])
    assert [next(found) for _ in range(3)] == [{"n": 1}] * 3
    with pytest.raises(InputError):
        next(found)


@pytest.mark.parametrize(
    "line",
    [
        b"ann@example.com",
        b'{"a":"ann@example.com"',
        b'["ann@example.com"]',
        b'{"a":"ann@example.com\xff"}',
        b'{"a":' + b"[" * 200_000,
        b'{"a":' + b"1" * 10_000 + b"}",
        b'{"a":1e99999999999999999999}',
    ],
    ids=lambda line: repr(line[:30]),
)
def test_junk_names_file_and_line_and_shows_nothing(tmp_path: Path, line: bytes) -> None:
    """Which line of which file, and none of what is in it."""
    path = _file(tmp_path, b'{"n":1}\n' + line + b"\n")
    with pytest.raises(InputError) as raised:
        list(batch_records(JSONL, [path.as_uri()]))
    message = str(raised.value)
    assert "line 2" in message
    assert str(path) in message
    assert "ann@" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "url", ["https://x.example/a", "s3://bucket/a", "/data/a", "a.jsonl", "", "FTP://x/a"]
)
def test_other_places_are_refused(url: str) -> None:
    """Only file:// is read: nothing is fetched from anywhere."""
    with pytest.raises(InputError, match="file://"):
        list(batch_records(JSONL, [url]))


@pytest.mark.parametrize(
    "encoding",
    [
        {},
        {"format": "csv"},
        {"format": None},
        {"format": "jsonl", "compression": "zstd"},
        {"format": ["jsonl"]},
        {"format": "jsonl", "compression": ["gzip"]},
    ],
)
def test_other_formats_are_refused(tmp_path: Path, encoding: dict[str, Any]) -> None:
    """The line says what can be read."""
    with pytest.raises(InputError, match="jsonl"):
        list(batch_records(encoding, [_file(tmp_path, LINES).as_uri()]))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Its path and why."""
    with pytest.raises(InputError, match=r"missing\.jsonl.*No such file"):
        list(batch_records(JSONL, [(tmp_path / "missing.jsonl").as_uri()]))


def test_a_folder(tmp_path: Path) -> None:
    """A folder cannot be read."""
    with pytest.raises(InputError, match="cannot be read"):
        list(batch_records(JSONL, [tmp_path.as_uri()]))


def _damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return (
        content[:middle]
        + bytes(255 - byte for byte in content[middle : middle + 40])
        + content[middle + 40 :]
    )


PACKED = gzip.compress(b"".join(b'{"n":%d,"x":"%x"}\n' % (n, n * n * 7919) for n in range(5_000)))


@pytest.mark.parametrize(
    "content",
    [LINES, PACKED[: len(PACKED) // 2], _damaged(PACKED), PACKED[:-8] + b"\0" * 8, b"\x1f\x8b"],
    ids=["plain", "cut", "damaged", "checksum", "header"],
)
def test_gzip_that_is_broken(tmp_path: Path, content: bytes) -> None:
    """A broken file is one readable line, however zlib describes it."""
    path = _file(tmp_path, content, "broken.gz")
    with pytest.raises(InputError, match=r"broken\.gz"):
        list(batch_records(GZIP, [path.as_uri()]))


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that installs what is missing."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError) as raised:
        list(batch_records({"format": "parquet"}, [_file(tmp_path, b"PAR1").as_uri()]))
    assert "pip install" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_parquet(tmp_path: Path) -> None:
    """Row by row, where pyarrow is installed."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    rows = [{"id": n, "name": f"x{n}", "total": None} for n in range(10)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=3)
    assert list(batch_records({"format": "parquet"}, [path.as_uri()])) == rows


@pytest.mark.parametrize("content", [b"", b"PAR1", b"junk" * 100, b"PAR1" + b"x" * 100 + b"PAR1"])
def test_parquet_that_is_none(tmp_path: Path, content: bytes) -> None:
    """A broken file is one readable line."""
    pytest.importorskip("pyarrow")
    path = _file(tmp_path, content, "broken.parquet")
    with pytest.raises(InputError, match=r"broken\.parquet"):
        list(batch_records({"format": "parquet"}, [path.as_uri()]))
