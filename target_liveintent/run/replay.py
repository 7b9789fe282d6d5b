"""Converts the dead letters of a replay."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from target_liveintent.conversions import DEAD_LETTERS, Conversion, EventBuilder, Rejection
from target_liveintent.mapping import RecordConverter, StreamPlan
from target_liveintent.privacy import Suppressions
from target_liveintent.reasons import REASONS
from target_liveintent.settings import Settings
from target_liveintent.store import PROPERTIES, ReplayChoice, to_replay, why_not_replayed


class ReplayConverter(RecordConverter):
    """Converts dead letters, without stream maps, and rejects those that a replay does not send.

    Where it rejects one for a reason that `is_kept`, the dead letter stays in the store as it is.

    Args:
        settings: The settings of the replay.
        suppressions: The people who must not be sent.
        choice: The options of the replay.
        left_out: Counts the columns that cannot be used.
        now: Returns the Unix time.
    """

    def __init__(
        self,
        settings: Settings,
        suppressions: Suppressions,
        choice: ReplayChoice,
        left_out: dict[str, int],
        now: Callable[[], float] = time.time,
    ) -> None:
        plan = StreamPlan.without_map(DEAD_LETTERS, PROPERTIES)
        builder = EventBuilder(DEAD_LETTERS, plan.properties, (), settings.events, suppressions)
        super().__init__(plan, builder, left_out, now)
        self._settings = settings
        self._choice = choice

    def convert(
        self, record: dict[str, Any], violation: str | None = None
    ) -> Conversion | Rejection | None:
        """Convert a dead letter."""
        result = super().convert(to_replay(record), violation)
        if isinstance(result, Rejection) and not REASONS[result.reason].letter:
            return result  # Who must not be sent is not kept either.
        reason = why_not_replayed(record, self._settings, self._choice, self._now())
        if reason is None:
            return result
        return Rejection(str(record.get("stream")), str(record.get("event_id")), reason, None, {})
