"""Reads the files of BATCH messages record by record: JSON lines, plain or gzip, and Parquet."""

from __future__ import annotations

import gzip
import urllib.request
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from target_liveintent.errors import InputError
from target_liveintent.singer.reader import decode_object


def batch_records(encoding: Mapping[str, Any], manifest: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the records of a BATCH message, without reading a whole file at once.

    The `encoding` has a `format` and a `compression`; the `manifest` holds the URLs of files.

    Raises:
        InputError: If a file cannot be read or is of a kind that is not supported.
    """
    kind, compression = str(encoding.get("format")), str(encoding.get("compression") or "none")
    for url in manifest:
        path = _path(url)
        try:
            if kind == "jsonl" and compression in {"none", "gzip"}:
                yield from _json_lines(path, compressed=compression == "gzip")
            elif kind == "parquet":
                yield from _parquet_rows(path)
            else:
                msg = (
                    f"the BATCH message has the format '{kind}' with the compression"
                    f" '{compression}', but the target supports only jsonl (plain or gzip) and"
                    " parquet: set one of these formats in the tap's batch_config"
                )
                raise InputError(msg)
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            msg = f"the BATCH file '{path}' cannot be read: {reason}"
            raise InputError(msg) from None


def _path(url: str) -> Path:
    try:
        parts = urlsplit(url)
        path = urllib.request.url2pathname(parts.path)
    except ValueError:
        msg = (
            "the BATCH message names a file with an invalid URL: report this to the maintainers of"
            " the tap"
        )
        raise InputError(msg) from None
    if parts.scheme != "file":
        msg = (
            f"the BATCH message names a file at '{parts.scheme}://', but the target supports only"
            " file://: configure the tap to write to a local folder"
        )
        raise InputError(msg)
    if "\0" in path:
        msg = (
            "the BATCH message names a file whose path contains a NUL character: report this to"
            " the maintainers of the tap"
        )
        raise InputError(msg)
    return Path(path)


def _json_lines(path: Path, *, compressed: bool) -> Iterator[dict[str, Any]]:
    with gzip.open(path) if compressed else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                yield decode_object(line)
            except InputError as error:
                msg = f"line {number} of the BATCH file '{path}': {error}"
                raise InputError(msg) from None


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
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
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group).to_pylist()
    except pa.ArrowInvalid:
        msg = f"the BATCH file '{path}' is not a Parquet file"
        raise InputError(msg) from None
