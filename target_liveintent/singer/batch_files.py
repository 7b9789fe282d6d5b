"""Reads the files of BATCH messages record by record: JSON lines, plain or gzip, and Parquet."""

from __future__ import annotations

import gzip
import urllib.request
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from target_liveintent.errors import InputError
from target_liveintent.files import open_anywhere
from target_liveintent.singer.reader import decode_object, without_mark


def batch_records(encoding: Mapping[str, Any], manifest: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the records of a BATCH message, without reading a whole file at once.

    The `encoding` has a `format` and a `compression`; the `manifest` holds URLs or paths of files.

    Raises:
        InputError: If a file cannot be read or is of a kind that is not supported. The message does
            not have the URL of a file that is elsewhere, because there may be credentials in it.
    """
    kind, compression = str(encoding.get("format")), str(encoding.get("compression") or "none")
    for url in manifest:
        name = "a BATCH file"
        try:
            place, name = _place(url)
            if kind == "jsonl" and compression in {"none", "gzip"}:
                yield from _json_lines(place, name, compressed=compression == "gzip")
            elif kind == "parquet":
                yield from _parquet_rows(place, name)
            else:
                msg = (
                    f"the BATCH message has the format '{kind}' with the compression"
                    f" '{compression}', but the target supports only jsonl (plain or gzip) and"
                    " parquet: set one of these formats in the tap's batch_config"
                )
                raise InputError(msg)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            msg = f"{name} cannot be read: {reason}"
            raise InputError(msg) from None


def _place(url: str) -> tuple[str, str]:
    """Return what `open_anywhere` takes for a URL, and how messages name the file."""
    parts = urlsplit(url)
    if parts.scheme not in {"", "file"}:
        return url, f"a BATCH file at {parts.scheme}://"
    path = urllib.request.url2pathname(parts.path) if parts.scheme else url
    if not path.isprintable():  # It would forge lines of the log, and NUL is in no path.
        raise ValueError
    return path, f"the BATCH file '{path}'"


def _json_lines(place: str, name: str, *, compressed: bool) -> Iterator[dict[str, Any]]:
    with open_anywhere(place) as raw:
        for number, line in enumerate(gzip.GzipFile(fileobj=raw) if compressed else raw, 1):
            if line.isspace():
                continue
            try:
                yield decode_object(without_mark(line))
            except InputError as error:
                msg = f"line {number} of {name}: {error}"
                raise InputError(msg) from None


def _parquet_rows(place: str, name: str) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow as pa  # noqa: PLC0415 (an extra)
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        msg = (
            "the BATCH message names a Parquet file, but the library that reads such files is"
            " not installed: run pip install 'target-liveintent[parquet]'"
        )
        raise InputError(msg) from None
    try:
        with open_anywhere(place) as raw, pq.ParquetFile(raw) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group).to_pylist()
    except (pa.ArrowException, ArithmeticError, ValueError) as error:  # (Their texts hold values.)
        msg = (
            f"{name} is not a Parquet file, or has a value that Python cannot represent, such as a"
            f" time beyond the year 9999 ({type(error).__name__})"
        )
        raise InputError(msg) from None
