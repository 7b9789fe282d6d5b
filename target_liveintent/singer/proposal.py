"""Writes a configuration for the streams of an input, for `explain --write-config`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO

from target_liveintent.errors import InputError, StorageError
from target_liveintent.mapping import StreamMaps, config_text
from target_liveintent.settings import Settings
from target_liveintent.singer.explaining import Inspector


def write_config(source: IO[str], settings: Settings, path: str) -> Iterator[str]:
    """Write a proposed configuration to a new file; yields lines to print.

    Args:
        source: A Singer stream or a tap's catalog.
        settings: Any settings.
        path: The file, which only its owner can read, because it will hold a token.

    Raises:
        InputError: If the input has no stream.
        StorageError: If the file exists already, or cannot be written.
    """
    inspector = Inspector(settings, StreamMaps({}, {}))
    yield from inspector.read(source)
    if not inspector.plans:
        msg = "the input has no stream, so there is nothing to propose"
        raise InputError(msg)
    text = config_text([(one.stream, one.samples) for one in inspector.plans])
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        msg = f"the file '{path}' exists already: give --write-config the name of a new file"
        raise StorageError(msg) from None
    except OSError as error:
        msg = f"--write-config cannot write '{path}': {error.strerror}"
        raise StorageError(msg) from None
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)
    yield (
        f"The proposed configuration is in '{path}'. Fill in customer_id, auth_token and pixel_id,"
        " and check each line of the map. To see what a run would send, explain the same input"
        f" with --config {path}"
    )
