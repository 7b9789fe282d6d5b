"""Reads the records in the files of BATCH messages: JSON lines (plain or gzip) or Parquet."""

from __future__ import annotations

import gzip
import urllib.request
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any
from urllib.parse import urlsplit

from target_liveintent.errors import InputError
from target_liveintent.files import open_anywhere
from target_liveintent.settings import is_url
from target_liveintent.singer.reader import Message, MessageReader, decode_object, without_mark


def process_batch(reader: MessageReader, message: Message) -> None:
    """Pass each record of a BATCH message to the function that is registered for the stream.

    After each record, this calls `reader.goes_on`, and returns early if the result is False.

    Raises:
        InputError: If the message has no manifest, or a file cannot be read.
        RecordsWithoutSchemaException: If the tap has not sent the stream's SCHEMA yet.
    """
    process = reader.process_of(message)
    if message.manifest is None:
        msg = "the BATCH message has no manifest: report this to the maintainers of the tap"
        raise InputError(msg)
    for record in batch_records(message.encoding or {}, message.manifest):
        process(record)
        if not reader.goes_on():
            return


def batch_records(encoding: Mapping[str, Any], manifest: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the records of a BATCH message.

    A JSON file is read line by line, and a Parquet file one row group at a time.

    Args:
        encoding: The `format` and the `compression` of the files.
        manifest: The URLs or paths of the files.

    Raises:
        InputError: If a file cannot be read, or its format is not supported. The error leaves out
            the URL of a remote file, because the URL may contain credentials.
    """
    kind, compression = str(encoding.get("format")), str(encoding.get("compression") or "none")
    if kind != "parquet" and (kind != "jsonl" or compression not in {"none", "gzip"}):
        msg = (
            f"the BATCH message has the format '{kind}' with the compression '{compression}', but"
            " the target supports only jsonl (plain or gzip) and parquet: set one of these formats"
            " in the tap's batch_config"
        )
        raise InputError(msg)
    for url in manifest:
        name = "a BATCH file"
        try:
            place, name = _place(url)
            with open_anywhere(place) as file:
                if kind == "parquet":
                    yield from _parquet_rows(file, name)
                elif compression == "gzip":
                    yield from _json_lines(gzip.GzipFile(fileobj=file), name)
                else:
                    yield from _json_lines(file, name)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            msg = f"{name} cannot be read: {reason}"
            raise InputError(msg) from None


def _place(url: str) -> tuple[str, str]:
    """Return the path or URL that `open_anywhere` opens, and a name of the file for messages."""
    parts = urlsplit(url)
    is_file = parts.scheme == "file"
    if is_url(url) and not is_file:
        return url, f"a BATCH file at {parts.scheme}://"
    path = urllib.request.url2pathname(parts.path) if is_file else url
    return path, f"the BATCH file {path!r}"


def _json_lines(file: Iterable[bytes], name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file, 1):
        if line.isspace():
            continue
        try:
            yield decode_object(without_mark(line))
        except InputError as error:
            msg = f"line {number} of {name}: {error}"
            raise InputError(msg) from None


def _parquet_rows(file: IO[bytes], name: str) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow as pa  # noqa: PLC0415 (an extra)
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        msg = (
            "a BATCH message has Parquet files, but pyarrow is not installed: run"
            " pip install 'target-liveintent[parquet]'"
        )
        raise InputError(msg) from None
    try:
        with pq.ParquetFile(file) as table:
            for group in range(table.num_row_groups):
                yield from table.read_row_group(group).to_pylist()
    # The texts of these errors may contain values of records.
    except (pa.ArrowException, ArithmeticError, ValueError) as error:
        msg = (
            f"{name} is not a Parquet file, or has a value that Python cannot represent, such as a"
            f" time beyond the year 9999 ({type(error).__name__})"
        )
        raise InputError(msg) from None
