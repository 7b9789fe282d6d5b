"""Judges and words what a run loses: one that delivers nothing, and sources that are none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from target_liveintent.reasons import NEVER_TAKEN
from target_liveintent.run.amounts import counted

_LEAST_TO_FAIL = 10
"""Dead letters from which on a run fails that delivers nothing."""
_SHOWN_VALUES = 5
_MOST_VALUES = 50
"""Different values of one stream that are counted; all others count as one."""
_SHOWN = re.compile(r"(?!(?:.*\d){5})[\w-]{1,24}")
"""What a source must look like to be shown: one word of at most four digits. The column may be
mapped to a wrong one, that of phone numbers, say."""
_ABSENT, _OTHERS = "(none)", "(not shown)"


def nothing_delivered(rejected: Counter[str], what_to_do: Callable[[str], str]) -> str | None:
    """Return why a run fails that has delivered nothing, if it does.

    Args:
        rejected: Its dead letters, by reason.
        what_to_do: Returns what a reason means in this run, and what to do about it.
    """
    lost = Counter({reason: n for reason, n in rejected.items() if reason in NEVER_TAKEN})
    if lost.total() < _LEAST_TO_FAIL:
        return None
    reason, most = lost.most_common(1)[0]
    return (
        f"nothing was delivered, and {lost.total()} records became dead letters. The most"
        f" frequent reason is {reason} ({counted(most, 'record')}). {what_to_do(reason)} If you"
        " expect these dead letters, set max_dead_letter_percent to 100. Then a run that"
        " delivers nothing counts as successful."
    )


def refused_last(events: int) -> str:
    """Return that the API refused the last events of the input, or the last before a pause."""
    return (
        f"the API refused {counted(events, 'event')} at the end of the input, or before a pause of"
        " the tap. There were no later events with which the run could compare them, so it could"
        " not tell what was wrong: the events or the settings. The refused events became dead"
        " letters. If the events look right, check pixel_id, then replay the dead letters. If you"
        " correct pixel_id, replay them with --other-accounts, because they still belong to the old"
        " pixel"
    )


def count_source(sources: Counter[str], source: object) -> None:
    """Count a source that cannot be used; one that may be personal data loses its text."""
    text = _ABSENT if source is None else str(source).strip()
    if text != _ABSENT and not _SHOWN.fullmatch(text):
        text = _OTHERS
    if text not in sources and len(sources) >= _MOST_VALUES:
        text = _OTHERS
    sources[text] += 1


def frequent(sources: Counter[str]) -> str:
    """Return the most frequent values with their numbers, in brackets; empty if there are none."""
    if not sources:
        return ""
    shown = Counter({value: count for value, count in sources.items() if value != _OTHERS})
    named = [f"{value} {count}" for value, count in shown.most_common(_SHOWN_VALUES)]
    hidden = len(shown) > len(named) or _OTHERS in sources
    return f" ({', '.join(named + ['others'] * hidden)})"
