"""Dead letters: the records that could not be sent, as a durable Singer stream for a replay.

A replay pipes the file back into the target, whose stream maps do not apply to it. It keeps the
event IDs and sends what can be sent by then. A dead letter holds no address, and its columns hold
nothing that came from the settings, so that a corrected setting takes effect. It names the account
and the pixel that it was written for, so that no other loader's replay delivers it to another one.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from target_liveintent.conversions import (
    DEAD_LETTERS,
    FIELDS,
    UNUSABLE,
    Rejection,
    positive_integer,
    window_end,
)
from target_liveintent.errors import ConfigurationError
from target_liveintent.privacy import redact_columns, scrub
from target_liveintent.reasons import MAY_HAVE_COUNTED, REASONS
from target_liveintent.settings import Settings
from target_liveintent.storage.files import (
    AppendedFile,
    append,
    end_last_line,
    ends_in,
    lines_between,
)
from target_liveintent.storage.replay_files import is_named, leftover, replay_files

_TEXT = {"type": ["string", "null"]}
_PROPERTIES: dict[str, Any] = {
    **{field.name: {} for field in FIELDS if field.name != "email"},
    **dict.fromkeys(
        ("event_id", "reason", "field", "detail", "stream", "time", "window_end", "run_id"), _TEXT
    ),
    "written_for": {"type": ["object", "null"]},
    "keys": {"type": ["object", "null"]},
    "scrubbed": {"type": ["array", "null"]},
}
# "keys" has the tap's key properties where nothing else identifies the row; "scrubbed" names the
# columns in which a hash replaces an address. "written_for" has `customer_id` and `api_host`, and
# `pixel_id` where the setting gave it: a record's own pixel is among its columns.
_SCHEMA = {
    "type": "SCHEMA",
    "stream": DEAD_LETTERS,
    "key_properties": ["event_id", "stream", "time"],  # For databases, not for replays.
    "schema": {"type": "object", "properties": _PROPERTIES},
}
_encode = msgspec.json.Encoder(decimal_format="number").encode
_JUDGED_AGAIN = "event_too_old"
"""The reason of events that are sent if the window is open with the settings of the replay."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_LINES_AT_ONCE = 20_000
"""Dead letters in memory while they are compared with those of a file."""
_LONGEST_NAME = 120
"""Characters of an account that a log line shows: a user may have edited the dead letter."""
HEAD = _encode(_SCHEMA) + b"\n"
"""The line with the SCHEMA message, before the first dead letter."""
LAST_LINE = _encode(_SCHEMA | {"taken_over": True}) + b"\n"
"""The last line of a file that a replay has taken over: a SCHEMA message, too."""


def dead_letter_line(rejection: Rejection, settings: Settings, run_id: str) -> bytes:
    """Return the line with the RECORD message of a rejection, without addresses.

    Args:
        rejection: The rejection.
        settings: Those with which the event would have been sent.
        run_id: The ID of the run.
    """
    now = dt.datetime.now(dt.timezone.utc)
    record = {"event_id": rejection.event_id, **redact_columns(rejection.columns)}
    record |= {
        "reason": rejection.reason,
        "field": rejection.field and scrub(rejection.field),
        "stream": scrub(rejection.stream),
        "time": now.isoformat(timespec="seconds"),
        "run_id": run_id,
    }
    detail = rejection.detail
    if (closes := _window_end(rejection.columns, settings)) is not None:
        record["window_end"] = closes.isoformat(timespec="seconds")
        if detail is None and closes <= now:
            detail = "its window has closed"
    if detail is not None:
        record["detail"] = scrub(detail)
    if (account := _written_for(rejection.columns, settings)) is not None:
        record["written_for"] = account
    if rejection.keys is not None:
        record["keys"] = rejection.keys
    return _line(record)


def _window_end(columns: Mapping[str, Any], settings: Settings) -> dt.datetime | None:
    end = window_end(columns, settings.events)
    try:
        return None if end is None else _EPOCH + dt.timedelta(seconds=end)
    except OverflowError:  # After the year 9999.
        return None


def _written_for(columns: Mapping[str, Any], settings: Settings) -> dict[str, Any] | None:
    """Return what an event of these columns is written for: the account, and the setting's pixel.

    None without a usable pixel, because such an event could not be sent to any.
    """
    own = positive_integer(columns.get("pixel_id"))
    account = _account(settings)
    if own is None and settings.pixel_id is not None:
        account["pixel_id"] = settings.pixel_id
        return account
    return None if own is None or own is UNUSABLE else account


def _account(settings: Settings) -> dict[str, Any]:
    return {"customer_id": settings.customer_id, "api_host": settings.api_host}


def carry_over(record: Mapping[str, Any], run_id: str) -> bytes:
    """Return the line of a dead letter that was piped back, and that a run does not send.

    The dead letter stays as it was, but for the ID of the run that writes it, by which the run
    knows it again. A user may have edited it, so addresses are removed again.
    """
    known = {name: value for name, value in record.items() if name in _PROPERTIES}
    known["run_id"] = run_id
    for name, kind in (("scrubbed", list), ("written_for", dict)):
        if name in known and not isinstance(known[name], kind):
            del known[name]
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


def why_not_replayed(record: Mapping[str, Any], settings: Settings, now: float) -> str | None:
    """Return the reason for which a replay does not send a dead letter; None if it sends it.

    Args:
        record: The dead letter.
        settings: The settings of the replay.
        now: Unix time.
    """
    if not settings.replay_other_accounts and _is_for_another(record, settings):
        return "other_account"
    end = window_end(to_replay(record), settings.events)
    if end is not None and now >= end:
        return "expired"
    code = str(record.get("reason"))
    reason = REASONS.get(code)
    if reason is None or reason.replayed or code == _JUDGED_AGAIN:
        return None
    return None if settings.replay_unconfirmed and code in MAY_HAVE_COUNTED else code


def _is_for_another(record: Mapping[str, Any], settings: Settings) -> bool:
    """Return whether a dead letter names another account, or its event goes to another pixel."""
    named = record.get("written_for")
    if not isinstance(named, dict):
        return False
    ours = _account(settings)
    if positive_integer(record.get("pixel_id")) is None:  # It is sent to the setting's pixel.
        ours["pixel_id"] = settings.pixel_id
    return any(named.get(name) not in (None, value) for name, value in ours.items())


def addressee(record: Mapping[str, Any]) -> str:
    """Return in words the account and the pixel that a dead letter names."""
    named = record["written_for"]
    words = f"{named.get('customer_id')} at {named.get('api_host')}"
    if named.get("pixel_id") is not None:
        words += f", pixel {named['pixel_id']}"
    shown = scrub(words)[:_LONGEST_NAME]
    return shown if shown.isprintable() else ascii(shown)


class DeadLetterWriter(Protocol):
    """Takes the dead letters of a run; each method raises `StorageError` if it fails.

    Attributes:
        is_due: Whether a STATE need not wait before it calls `sync`: an object store takes only one
            object in a while.
    """

    @property
    def is_due(self) -> bool: ...  # noqa: D102 (above)

    def write(self, line: bytes) -> None:
        """Write a dead letter, a line of `dead_letter_line` or `carry_over`."""

    def sync(self) -> None:
        """Make the dead letters survive a power cut."""

    def cover(self) -> None:
        """Note that a STATE was written that covers all dead letters so far."""

    def close(self) -> None:
        """Sync, and take no more dead letters."""


class DeadLetterFile(AppendedFile):
    """The dead-letter file. The first write creates it, so a clean run leaves no file."""

    is_due = True

    def __init__(self, path: str) -> None:
        super().__init__("dead_letter_path", path, HEAD, repeat_head=True)

    def add_missing(self, file: int, lines: Iterable[bytes]) -> None:
        """Append those dead letters that the file, which is given by `in_place`, does not have."""
        lines = iter(lines)
        while wanted := dict.fromkeys(itertools.islice(lines, _LINES_AT_ONCE)):
            for line in lines_between(file, [(0, os.fstat(file).st_size)]):
                wanted.pop(line, None)
            if wanted:
                self._append(file, b"".join(wanted))

    def _copy(self, file: int, lines: Iterator[bytes]) -> None:
        """Append what the file lacks: an editor may have put a copy in place of the old file."""
        self.add_missing(file, lines)

    def _is_whole(self, line: bytes) -> bool:
        return is_whole(line)

    def _is_taken_over(self, file: int) -> bool:
        journals = leftover(replay_files(self._path), "journal")
        return any(is_named(journal, file) for journal in journals) or is_marked(file)


def is_whole(line: bytes) -> bool:
    """Return whether a line without a line end is a whole message: no part of one is JSON."""
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


class LetterMessage(msgspec.Struct):
    """What a line of a file of dead letters is."""

    type: str
    stream: str = ""
    record: dict[str, Any] | None = None

    @property
    def is_letter(self) -> bool:
        """Whether it is a dead letter."""
        return self.type == "RECORD" and self.stream == DEAD_LETTERS and self.record is not None


_decode_message = msgspec.json.Decoder(LetterMessage).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def message_in(line: bytes) -> LetterMessage | None:
    """Return what a line is; None if it is no Singer message."""
    try:
        return _decode_message(line)
    except _UNREADABLE:
        return None


def mark(file: int) -> None:
    """Mark a file that a replay has renamed to a journal, which is locked.

    A run that has it open still knows then that its dead letters are cared for, even after the
    journal was removed. Before it is renamed, the mark could be false: the replay may be killed
    between the two, and then somebody deletes the file.
    """
    end_last_line(file, is_whole)
    append(file, LAST_LINE)
    os.fsync(file)


def is_marked(file: int) -> bool:
    """Return whether a file has the mark of a journal."""
    return ends_in(file, LAST_LINE)


def refuse_own_file(input_file: int, path: str) -> None:
    """Refuse an input that is the dead-letter file: the run would append to what it reads.

    Raises:
        ConfigurationError: If the descriptor `input_file` and `path` are the same file.
    """
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(input_file), os.stat(path)):  # noqa: PTH116
            msg = (
                f"the input is the dead-letter file of this run, '{path}', so the file would grow"
                " while the run reads it: use target-liveintent --replay instead"
            )
            raise ConfigurationError(msg)
