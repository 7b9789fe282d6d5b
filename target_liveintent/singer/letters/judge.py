"""Says what a replay would do with a dead letter, by converting it as a replay does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from target_liveintent.conversions import DEAD_LETTERS, EventBuilder, Rejection
from target_liveintent.mapping import StreamPlan
from target_liveintent.reasons import MAY_HAVE_COUNTED, REASONS
from target_liveintent.settings import Settings
from target_liveintent.singer.replay import ReplayConverter
from target_liveintent.storage import HEAD, Places

Judge = Callable[[dict[str, Any]], str]
"""Returns the name of what a replay does with a dead letter, a key of `PROSPECTS`."""
_PROSPECT_OF: Mapping[str, str] = {
    "other_account": "other_account",
    "expired": "expired",
    **dict.fromkeys(MAY_HAVE_COUNTED, "leaves_out"),
}


def replay_judge(settings: Settings, now: Callable[[], float]) -> Judge:
    """Return the judge for replays with these settings.

    Args:
        settings: The settings.
        now: Returns the Unix time as of which the letters are judged.
    """
    columns = msgspec.json.decode(HEAD)["schema"]["properties"]
    plan = StreamPlan.without_map(DEAD_LETTERS, columns)
    suppressions = Places(settings, logging.getLogger(__name__)).suppressions()
    builder = EventBuilder(DEAD_LETTERS, plan.properties, (), settings.events, suppressions)
    converter = ReplayConverter(plan, builder, {}, settings, now)

    def judge(letter: dict[str, Any]) -> str:
        result = converter.convert(letter)
        if not isinstance(result, Rejection):
            return "sends"
        reason = result.reason
        otherwise = "cannot_send" if REASONS[reason].letter else "dropped"
        return _PROSPECT_OF.get(reason, otherwise)

    return judge
