"""Files of BATCH messages: record by record, and a readable line for what cannot be read."""

import datetime as dt
import gzip
import io
import re
import sys
import urllib.request
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest

from target_liveintent.errors import InputError
from target_liveintent.singer.batch_files import batch_records, process_batch
from target_liveintent.singer.reader import MessageReader

JSONL = {"format": "jsonl"}
GZIP = {"format": "jsonl", "compression": "gzip"}
PARQUET = {"format": "parquet"}
LINES = b'{"id":1,"total":87.10}\n\n{"id":2,"total":NaN}\r\n{"id":3,"name":"\xc3\xbc"}'
RECORDS = [{"id": 1, "total": Decimal("87.10")}, {"id": 2, "total": None}, {"id": 3, "name": "ü"}]


Stored = Callable[..., str]


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """Return how to write a file of a BATCH message and get its URL."""

    def store(content: bytes, name: str = "a.jsonl") -> str:
        path = tmp_path / name
        path.write_bytes(content)
        return path.as_uri()

    return store


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        pytest.param(JSONL, LINES, id="plain"),
        pytest.param({**JSONL, "compression": None}, LINES, id="compression null"),
        pytest.param({**JSONL, "compression": "none"}, LINES, id="compression none"),
        pytest.param(GZIP, gzip.compress(LINES, mtime=0), id="compressed"),
    ],
)
def test_each_line_of_a_file_is_a_record(
    stored: Stored, encoding: dict[str, Any], content: bytes
) -> None:
    """JSON lines, blank ones left out, digits kept, NaN as null; plain or compressed."""
    found = list(batch_records(encoding, [stored(content)]))
    assert found == RECORDS
    assert str(found[0]["total"]) == "87.10"


@pytest.mark.parametrize("manifest", ["", ',"manifest":null'], ids=["absent", "null"])
def test_a_message_that_names_no_files_is_an_error(manifest: str) -> None:
    """Otherwise, its records would be lost, and a STATE after it would say that they are not."""
    reader = MessageReader(lambda: None)
    reader.pass_records("s", None, lambda _: None)
    line = f'{{"type":"BATCH","stream":"s","encoding":{{"format":"jsonl"}}{manifest}}}\n'
    with pytest.raises(InputError, match="line 1 of the input: the BATCH message has no manifest"):
        reader.process_lines(io.StringIO(line), {"BATCH": partial(process_batch, reader)})


def test_several_files_are_read_in_their_order(stored: Stored) -> None:
    """Files are read in the order of the manifest; a byte order mark is no part of a column."""
    urls = [stored(b'{"\xef\xbb\xbfid":1}', "1"), stored(b"", "2"), stored(b'{"\\ufeffid":2}', "3")]
    assert list(batch_records(JSONL, urls)) == [{"id": 1}, {"id": 2}]
    assert list(batch_records(JSONL, [])) == []


def test_a_file_may_be_a_path_or_a_url_of_this_machine(stored: Stored) -> None:
    """A file URL is percent-encoded; some taps write file://localhost/, others a path."""
    url = stored(b'{"n":1}', "a b#ü%41?.jsonl")
    path = urllib.request.url2pathname(url.removeprefix("file://"))
    for one in (url, url.replace("file://", "file://localhost"), path):
        assert list(batch_records(JSONL, [one])) == [{"n": 1}]


def test_records_come_before_the_file_is_read_to_its_end(stored: Stored) -> None:
    """A file is never held as a whole: what is wrong later is found later."""
    found = batch_records(JSONL, [stored(b'{"n":1}\n' * 3 + b"junk\n"), "file:///nowhere"])
    assert [next(found) for _ in range(3)] == [{"n": 1}] * 3
    with pytest.raises(InputError):
        next(found)


@pytest.mark.parametrize(
    "line",
    [
        *(b"ann@example.com", b'{"a":"ann@example.com"', b'["ann@example.com"]'),
        *(b'{"a":"ann@example.com\xff"}', b'{"a":' + b"[" * 200_000),
    ],
    ids=lambda line: repr(line[:30]),
)
def test_junk_names_file_and_line_and_shows_nothing(stored: Stored, line: bytes) -> None:
    """Which line of which file, and none of what is in it; `test_reader.py` has all the junk."""
    url = stored(b'{"n":1}\n' + line + b"\n")
    with pytest.raises(InputError) as raised:
        list(batch_records(JSONL, [url]))
    message = str(raised.value)
    assert f"line 2 of the BATCH file '{url.removeprefix('file://')}'" in message
    assert "ann@" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("/data/a", "'/data/a' cannot be read: No such file"),
        ("a.jsonl", "'a.jsonl' cannot be read: No such file"),
        ("file://[x", "a BATCH file cannot be read: ValueError"),
        ("file:///a%00%0Ab", r"file '/a\x00\nb' cannot be read: ValueError"),
        ("file:///nowhere/missing.jsonl", "missing.jsonl' cannot be read: No such file"),
        ("file:///etc", "'/etc' cannot be read: Is a directory"),
        # A URL may hold credentials.
        ("memory://s3cr3t/a", "a BATCH file at memory:// cannot be read: it does not exist"),
        ("memory://s3cr3t", "a BATCH file at memory:// cannot be read: it does not exist"),
        ("unheard-of://u:s3cr3t@x/a", "a BATCH file at unheard-of:// cannot be read: ValueError"),
        ("gs://s3cr3t/a", "at gs:// cannot be read: install the package that fsspec needs"),
    ],
    ids=str,
)
def test_files_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, url: str, said: str) -> None:
    """The line names the file on this machine, and only the kind of place of others."""
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(InputError, match=re.escape(said)) as raised:
        list(batch_records(JSONL, [url]))
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize(
    "encoding",
    [
        pytest.param({}, id="no format"),
        pytest.param({"format": "csv"}, id="CSV"),
        pytest.param({"format": ["jsonl"]}, id="a list as format"),
        pytest.param({**JSONL, "compression": "zstd"}, id="another compression"),
    ],
)
def test_other_formats_are_refused(stored: Stored, encoding: dict[str, Any]) -> None:
    """The line says what can be read."""
    with pytest.raises(InputError, match=r"supports only jsonl \(plain or gzip\) and parquet"):
        list(batch_records(encoding, [stored(LINES)]))


PACKED = gzip.compress(b"".join(b'{"n":%d,"x":"%x"}\n' % (n, n * n * 7919) for n in range(5_000)))
HALF = len(PACKED) // 2
DAMAGED = bytes(255 - byte for byte in PACKED[HALF : HALF + 40])


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        (GZIP, LINES),
        (GZIP, PACKED[:HALF]),
        (GZIP, PACKED[:HALF] + DAMAGED + PACKED[HALF + 40 :]),
        (GZIP, PACKED[:-8] + b"\0" * 8),
        (GZIP, b"\x1f\x8b"),
        *((PARQUET, content) for content in (b"", b"PAR1", b"junk" * 100)),
        (PARQUET, b"PAR1" + b"x" * 100 + b"PAR1"),
    ],
    ids=["plain", "cut", "damaged", "checksum", "header", "empty", "short", "text", "no rows"],
)
def test_a_broken_file_is_named_without_its_content(
    stored: Stored, encoding: dict[str, Any], content: bytes
) -> None:
    """A broken file is one readable line, however the library describes it."""
    pytest.importorskip("pyarrow")
    with pytest.raises(InputError, match=r"the BATCH file '.*broken") as raised:
        list(batch_records(encoding, [stored(content, "broken")]))
    assert "\n" not in str(raised.value)


def test_parquet_without_pyarrow_names_the_extra(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError) as raised:
        list(batch_records(PARQUET, [stored(b"PAR1")]))
    assert "pip install" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_the_rows_of_parquet_are_records(tmp_path: Path, scheme: str) -> None:
    """Row by row, where pyarrow is installed; amounts keep their digits, and times their zone."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    at = dt.datetime(2026, 8, 1, 16, tzinfo=dt.timezone.utc)
    rows = [{"id": n, "at": at, "total": Decimal(f"{n}.50"), "name": None} for n in range(10)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=3)
    memory = fsspec.filesystem("memory")
    memory.pipe_file(str(path), path.read_bytes())
    url = path.as_uri().replace("file:", f"{scheme}:")
    assert list(batch_records(PARQUET, [url])) == rows
    memory.rm(str(path))


@pytest.mark.parametrize(
    ("kind", "number"),
    [("timestamp[us]", -(10**17)), ("date32[day]", 10**8)],
    ids=["before year 1", "after year 9999"],
)
def test_parquet_with_a_value_that_python_does_not_have(
    stored: Stored, kind: str, number: int
) -> None:
    """The line names the file, says what to do, and shows no value."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    file = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": pa.array([number], kind)}), file)
    url = stored(file.getvalue().to_pybytes(), "a.parquet")
    with pytest.raises(InputError, match=r"a.parquet' .* has a value that Python cannot represent"):
        list(batch_records(PARQUET, [url]))
