"""The dead-letter file: a Singer stream of what could not be sent, durable and replayable.

Piped back into the target with the same configuration, it keeps every event ID and sends what has
become sendable. It holds no address and nothing that came from the settings, so that a corrected
setting takes effect.
"""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from target_liveintent.conversions.fields import FIELDS
from target_liveintent.conversions.model import DEAD_LETTERS
from target_liveintent.errors import ConfigurationError
from target_liveintent.privacy.identity import scrub
from target_liveintent.privacy.redaction import redact_columns
from target_liveintent.reasons import REASONS
from target_liveintent.storage.files import AppendedFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from target_liveintent.conversions.model import Rejection

_TEXT = {"type": ["string", "null"]}
_MEMBERS: dict[str, Any] = {
    **{field.name: {} for field in FIELDS if field.name != "email"},
    **dict.fromkeys(("reason", "field", "detail", "stream", "time"), _TEXT),
    "keys": {"type": ["object", "null"]},
    "scrubbed": {"type": ["array", "null"]},
}
# "keys" holds the tap's key properties where there is nothing else to find the row by; "scrubbed"
# names the columns in which a hash stands for an address.
_SCHEMA = {
    "type": "SCHEMA",
    "stream": DEAD_LETTERS,
    "key_properties": [],
    "schema": {"type": "object", "properties": _MEMBERS},
}
_encode = msgspec.json.Encoder(decimal_format="number").encode
HEAD = _encode(_SCHEMA) + b"\n"
"""The line with the SCHEMA message, before the first letter."""


def dead_letter_line(rejection: Rejection) -> bytes:
    """A rejection as a line with a RECORD message, without an address."""
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
    """A letter that is read back and not replayed, as a line: as it was.

    Anybody may have changed it, so addresses are looked for again.
    """
    known = {name: value for name, value in record.items() if name in _MEMBERS}
    if not isinstance(known.get("scrubbed", []), list):
        del known["scrubbed"]
    return _line({**known, **redact_columns(known)})


def _line(record: Mapping[str, Any]) -> bytes:
    return _encode({"type": "RECORD", "stream": DEAD_LETTERS, "record": record}) + b"\n"


def to_replay(record: Mapping[str, Any]) -> dict[str, Any]:
    """A letter that is read back, as a record to be sent.

    Columns that were left out for the address in them are left out again: its hash is no order ID.
    """
    scrubbed = record.get("scrubbed")
    gone = scrubbed if isinstance(scrubbed, list) else []
    return {name: value for name, value in record.items() if name not in gone}


def is_replayed(record: Mapping[str, Any], *, unconfirmed: bool = False) -> bool:
    """Whether a letter that is read back is to be sent again.

    Args:
        record: The letter.
        unconfirmed: Whether the user asks for those that LiveIntent may have already.
    """
    code = str(record.get("reason"))
    reason = REASONS.get(code)
    return reason is None or reason.replayed or (unconfirmed and code == "unconfirmed")


class DeadLetterWriter(Protocol):
    """Where a run leaves its dead letters."""

    def write(self, line: bytes) -> None:
        """Keep a letter, as a line; raises `StorageError` if that is not possible."""

    def sync(self) -> None:
        """Make what was written durable."""

    def close(self) -> None:
        """Write nothing more."""


class DeadLetterFile:
    """Appends letters to a file that only its owner can read.

    Args:
        path: The file; made when the first letter is written: a clean run leaves no file behind.
    """

    def __init__(self, path: str) -> None:
        """Open nothing yet."""
        self._file = AppendedFile("dead_letter_path", path, HEAD, repeat_head=True)

    def write(self, line: bytes) -> None:
        """Append a letter, as `dead_letter_line` or `carry_over` has written it.

        Raises:
            StorageError: If the file cannot be written.
        """
        self._file.write(line)

    def sync(self) -> None:
        """Make what was written survive a power cut."""
        self._file.sync()

    def close(self) -> None:
        """Sync and close."""
        self._file.close()


def refuse_own_file(input_file: int, path: str) -> None:
    """Refuse to read from the very file that dead letters are appended to.

    Raises:
        ConfigurationError: If that is what the input is.
    """
    try:
        same = os.path.samestat(os.fstat(input_file), os.stat(path))  # noqa: PTH116
    except OSError:
        return
    if same:
        msg = (
            f"the input is the dead-letter file '{path}' itself, which would grow while it is read:"
            " move it, pipe the moved file, then delete it"
        )
        raise ConfigurationError(msg)
