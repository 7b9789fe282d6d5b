"""Converts the dead letters of a replay, or those that are piped back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from target_liveintent.conversions import Conversion, EventBuilder, Rejection
from target_liveintent.mapping import RecordConverter, StreamPlan
from target_liveintent.reasons import REASONS
from target_liveintent.settings import Settings
from target_liveintent.storage import to_replay, why_not_replayed


class ReplayConverter(RecordConverter):
    """Converts the dead letters of a replay, and rejects those that it does not send.

    Where it rejects one for a reason that `is_kept`, the dead letter stays in the file as it is.
    """

    def __init__(
        self,
        plan: StreamPlan,
        builder: EventBuilder,
        left_out: dict[str, int],
        settings: Settings,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(plan, builder, left_out, now)
        self._settings = settings

    def convert(
        self, record: dict[str, Any], violation: str | None = None
    ) -> Conversion | Rejection | None:
        """Convert a dead letter."""
        result = super().convert(to_replay(record), violation)
        if isinstance(result, Rejection) and not REASONS[result.reason].letter:
            return result  # Who must not be sent is not kept either.
        reason = why_not_replayed(record, self._settings, self._now())
        if reason is None:
            return result
        return Rejection(str(record.get("stream")), str(record.get("event_id")), reason, None, {})
