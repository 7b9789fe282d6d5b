"""Dead letters: the records that could not be sent, as a durable Singer stream for a replay.

A replay pipes the file back into the target, whose stream maps do not apply to it. It keeps the
event IDs and sends what can be sent by then. A dead letter holds no address, and nothing that came
from the settings, so that a corrected setting takes effect.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from target_liveintent.conversions import DEAD_LETTERS, FIELDS, Rejection
from target_liveintent.errors import ConfigurationError
from target_liveintent.privacy import redact_columns, scrub
from target_liveintent.reasons import MAY_HAVE_COUNTED, REASONS
from target_liveintent.storage.files import AppendedFile

_TEXT = {"type": ["string", "null"]}
_PROPERTIES: dict[str, Any] = {
    **{field.name: {} for field in FIELDS if field.name != "email"},
    **dict.fromkeys(("reason", "field", "detail", "stream", "time"), _TEXT),
    "keys": {"type": ["object", "null"]},
    "scrubbed": {"type": ["array", "null"]},
}
# "keys" has the tap's key properties where nothing else identifies the row; "scrubbed" names the
# columns in which a hash replaces an address.
_SCHEMA = {
    "type": "SCHEMA",
    "stream": DEAD_LETTERS,
    "key_properties": [],
    "schema": {"type": "object", "properties": _PROPERTIES},
}
_encode = msgspec.json.Encoder(decimal_format="number").encode
HEAD = _encode(_SCHEMA) + b"\n"
"""The line with the SCHEMA message, before the first dead letter."""


def dead_letter_line(rejection: Rejection) -> bytes:
    """Return the line with the RECORD message of a rejection, without addresses."""
    record = {"event_id": rejection.event_id, **redact_columns(rejection.columns)}
    record |= {
        "reason": rejection.reason,
        "field": rejection.field and scrub(rejection.field),
        "stream": scrub(rejection.stream),
        "time": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
    }
    if rejection.detail is not None:
        record["detail"] = scrub(rejection.detail)
    if rejection.keys is not None:
        record["keys"] = rejection.keys
    return _line(record)


def carry_over(record: Mapping[str, Any]) -> bytes:
    """Return the line of a dead letter that a replay does not send.

    The dead letter stays as it was, but a user may have edited it, so addresses are removed again.
    """
    known = {name: value for name, value in record.items() if name in _PROPERTIES}
    if not isinstance(known.get("scrubbed", []), list):
        del known["scrubbed"]
    return _line({**known, **redact_columns(known)})


def _line(record: Mapping[str, Any]) -> bytes:
    return _encode({"type": "RECORD", "stream": DEAD_LETTERS, "record": record}) + b"\n"


def to_replay(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record that a replay sends for a dead letter.

    It lacks the columns in which a hash replaced an address: such a hash is not an order ID.
    """
    scrubbed = record.get("scrubbed")
    left_out = scrubbed if isinstance(scrubbed, list) else []
    return {name: value for name, value in record.items() if name not in left_out}


def is_replayed(record: Mapping[str, Any], *, unconfirmed: bool = False) -> bool:
    """Return whether a replay sends a dead letter; `unconfirmed` is `replay_unconfirmed`."""
    code = str(record.get("reason"))
    reason = REASONS.get(code)
    return reason is None or reason.replayed or (unconfirmed and code in MAY_HAVE_COUNTED)


class DeadLetterWriter(Protocol):
    """Takes the dead letters of a run; each method raises `StorageError` if it fails."""

    def write(self, line: bytes) -> None:
        """Write a dead letter, a line of `dead_letter_line` or `carry_over`."""

    def sync(self) -> None:
        """Make the dead letters survive a power cut."""

    def close(self) -> None:
        """Sync, and take no more dead letters."""


class DeadLetterFile(AppendedFile):
    """The dead-letter file. The first write creates it, so a clean run leaves no file."""

    def __init__(self, path: str) -> None:
        super().__init__("dead_letter_path", path, HEAD, repeat_head=True)


def refuse_own_file(input_file: int, path: str) -> None:
    """Refuse an input that is the dead-letter file: the run would append to what it reads.

    Raises:
        ConfigurationError: If the descriptor `input_file` and `path` are the same file.
    """
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(input_file), os.stat(path)):  # noqa: PTH116
            msg = (
                f"the input is the dead-letter file '{path}' itself, which would grow while it is"
                " read: move it, pipe the moved file, then delete it"
            )
            raise ConfigurationError(msg)
