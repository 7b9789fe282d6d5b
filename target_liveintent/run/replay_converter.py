"""Chooses which dead letters a replay sends, and converts these dead letters to events."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from target_liveintent.conversions.builder import window_end
from target_liveintent.conversions.coerce import Unusable, positive_integer
from target_liveintent.conversions.event_model import DEAD_LETTERS, Conversion, Rejection
from target_liveintent.conversions.fields import OPTIONAL
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.stream_maps import Stream, StreamPlan
from target_liveintent.privacy.identity import IDENTITY_COLUMNS, Identity
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.reasons import MAY_HAVE_COUNTED, REASONS
from target_liveintent.remarks import UnusableCause
from target_liveintent.settings import Account, EventDefaults

_TOO_OLD = "event_too_old"
"""A dead letter with this reason is sent if its event is not too old with the settings of the
replay: `default_source` may be `offline` now."""
LETTER_COLUMNS = frozenset(IDENTITY_COLUMNS)
"""The columns of a dead letter that count as mapped, although a replay applies no stream map."""
_NOT_KEPT = Unusable(UnusableCause("not_kept"))
PROSPECTS = ("sends", "leaves_out", "other_account", "expired", "dropped", "cannot_send")
"""What a replay does with a dead letter."""


class ReplayChoice(NamedTuple):
    """Whether a replay also sends dead letters that are unconfirmed, or of other accounts."""

    unconfirmed: bool = False
    other_accounts: bool = False


class ReplayConverter(RecordConverter):
    """Converts dead letters, without stream maps, and rejects what a replay must not send."""

    def __init__(
        self,
        account: Account,
        events: EventDefaults,
        suppressions: Suppressions,
        choice: ReplayChoice,
        now: Callable[[], float] = time.time,
    ) -> None:
        # A dead letter has only the columns that had a value, and hashes in place of the address.
        plan = StreamPlan(DEAD_LETTERS, named=True, is_used=True, dropped=frozenset({"email"}))
        super().__init__(Stream(DEAD_LETTERS, {}, ()), plan, events, suppressions, now)
        self._account = account
        self._events = events
        self._suppressions = suppressions
        self._choice = choice

    def convert(
        self, record: dict[str, Any], violation: str | None = None
    ) -> Conversion | Rejection | None:
        """Convert a dead letter; the result has the stream that the dead letter came from."""
        columns, stream = to_replay(record), str(record.get("stream"))
        event_id, others = str(record.get("event_id")), _other_hashes(record)
        result = super().convert(columns, violation)
        if others and self._suppressions.contains(Identity(None, None, others=others)):
            return Rejection(stream, event_id, "suppressed", None, {})
        # (Such a record is about a person whose data must neither be sent nor kept.)
        is_dropped = isinstance(result, Rejection) and not REASONS[result.reason].letter
        if not is_dropped:
            reason = self._why_not_sent(record, columns)
            if reason is None and self._suppressions and others is None:
                reason = "not_compared"
            if reason is not None:
                return Rejection(stream, event_id, reason, None, {})
        if isinstance(result, Conversion):
            return msgspec.structs.replace(result, stream=stream, other_hashes=others)
        if result is None:
            return None
        kept = {**result.columns, "all_hashes": record.get("all_hashes")}
        return msgspec.structs.replace(result, stream=stream, columns=kept)

    def _why_not_sent(self, record: Mapping[str, Any], columns: Mapping[str, Any]) -> str | None:
        if not self._choice.other_accounts and self._is_for_another(record):
            return "other_account"
        end = window_end(columns, self._events)
        if end is not None and self._now() >= end:
            return "expired"
        code = str(record.get("reason"))
        reason = REASONS.get(code)
        if reason is None or reason.replayed or code == _TOO_OLD:
            return None
        return None if self._choice.unconfirmed and code in MAY_HAVE_COUNTED else code

    def _is_for_another(self, record: Mapping[str, Any]) -> bool:
        named = record.get("written_for")
        if not isinstance(named, dict):
            return False
        account = self._account
        ours: dict[str, Any] = {"customer_id": account.customer_id, "api_host": account.host}
        if positive_integer(record.get("pixel_id")) is None:  # The event gets the setting's pixel.
            ours["pixel_id"] = self._events.pixel_id
        return any(named.get(name) not in (None, value) for name, value in ours.items())


def prospect_of(converter: ReplayConverter, letter: dict[str, Any]) -> str:
    """Return what a replay would do with a dead letter: one of `PROSPECTS`."""
    result = converter.convert(letter)
    if not isinstance(result, Rejection):
        return "sends"
    if result.reason in {"expired", "other_account"}:
        return result.reason
    if result.reason in MAY_HAVE_COUNTED:
        return "leaves_out"
    return "cannot_send" if REASONS[result.reason].letter else "dropped"


def _other_hashes(record: Mapping[str, Any]) -> tuple[bytes, ...] | None:
    """Return those hashes of a dead letter's person that are not in the event itself.

    Return None if these hashes are unknown, because the address could not be read, or because
    somebody edited the dead letter.
    """
    try:
        sent = {record[name] for name in ("md5", "sha2") if record.get(name) is not None}
        known = {str(digest): bytes.fromhex(digest) for digest in record["all_hashes"]}
    except (KeyError, TypeError, ValueError):
        return None
    if not sent <= known.keys():
        return None
    return tuple(digest for text, digest in known.items() if text not in sent)


def to_replay(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a dead letter that a replay sends.

    If addresses were removed from the text of a column (`scrubbed`), the column is left out, unless
    somebody has edited the text since. If the event needs the column, it becomes unusable instead,
    so that no setting fills the column.
    """
    scrubbed = record.get("scrubbed")
    written = scrubbed if isinstance(scrubbed, dict) else {}
    columns = {}
    for name, value in record.items():
        if value is None:  # (Dead letters from a table have each column.)
            continue
        if name not in written or value != written[name]:
            columns[name] = value
        elif name not in OPTIONAL:
            columns[name] = _NOT_KEPT
    return columns
