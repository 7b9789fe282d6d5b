"""The kinds of runs: what a replay, a canary and a usual run do differently, as values.

The code that starts a run chooses its kind. No other module asks whether a run is a replay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from target_liveintent.reasons import REASONS


class RunKind(NamedTuple):
    """A kind of run.

    Attributes:
        name: The kind in the store and in the history.
        reads_source: Whether the records come from the user's source. If so, earlier runs may
            have sent the events of these records, and the setting `timezone` applies to them.
        writes_state: Whether the run writes STATE, so that the source continues after this run.
        fixed_settings: Settings whose values the kind decides.
        left_in_store: If a record is rejected for one of these reasons, the dead letter from which
            it came stays in the store as it is. The record counts as not replayed.
        renamed_reasons: The reasons that this kind of run replaces by others. If the records come
            from the user's source, an event is `not_tried` only if the API refused it before. So
            its dead letter keeps the reason `refused_by_api`.
    """

    name: str
    reads_source: bool = True
    writes_state: bool = True
    fixed_settings: Mapping[str, Any] = {}
    left_in_store: frozenset[str] = frozenset()
    renamed_reasons: Mapping[str, str] = {"not_tried": "refused_by_api"}


USUAL_RUN = RunKind("usual")
CANARY_RUN = RunKind("canary", writes_state=False)
"""A run with the setting `limit`: the next run reads all of its records again."""
REPLAY_RUN = RunKind(
    "replay",
    reads_source=False,
    # A replay must reach its end, even if it rejects all dead letters.
    fixed_settings={"max_dead_letter_percent": 100, "on_rejection": "dead_letter"},
    left_in_store=frozenset(code for code, reason in REASONS.items() if reason.is_kept),
    # The time window of such an event closed while the run waited. No other replay can send it.
    renamed_reasons={"event_too_old": "expired"},
)
"""A run that reads the dead letters of the store."""


def kind_of_run(limit: int | None) -> RunKind:
    """Return the kind of a run that reads the user's source, given the setting `limit`."""
    return USUAL_RUN if limit is None else CANARY_RUN
