"""Judges a run by the rules: what is unusual at its end, since when, and what it must say."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from target_liveintent.reporting.history import (
    STOPPED,
    USUAL,
    Day,
    History,
    RunRecord,
    Unusual,
)
from target_liveintent.reporting.rules import RULES, case_of

Judgement = Mapping[tuple[str, str], list[Unusual]]
"""What is unusual, by rule and stream; empty where all is usual, absent where nothing is judged."""
NOT_JUDGED: Judgement = MappingProxyType({})
_MOST_NAMED = 5
"""Findings of a rule and stream that a line names."""


def judge(history: History, run: RunRecord, zone: dt.tzinfo) -> Judgement:
    """Return what is unusual at the end of a run, which is judged if it is a usual one.

    Args:
        history: What was there before it.
        run: The run; its own streams are judged, and those that its loader no longer has.
        zone: The zone of the days.
    """
    if run.kind != USUAL:
        return NOT_JUDGED
    judgement: dict[tuple[str, str], list[Unusual]] = {}
    now = run.ended_at.astimezone(zone)
    today = now.date()
    newest = [(one.day, one.runs) for one in history.days[-2:]]
    since = _since(other for _, runs in newest for other in runs)
    said = {key for day, runs in newest if day == today for one in runs for key in _said(one)}
    yesterday = today - dt.timedelta(days=1)
    recent = [other for day, runs in newest if day >= yesterday for other in runs]
    days = [one for one in history.days if one.day < today]
    for stream in (*run.streams, *_gone(history.days, run)):
        case = case_of(days, [*recent, run], stream, now)
        if case is None:
            continue
        for rule, find in RULES.items():
            judgement[rule, stream] = [
                Unusual(
                    rule=rule,
                    stream=stream,
                    subject=one.subject,
                    since=since.get((rule, stream, one.subject), run.ended_at),
                    words=one.words,
                    said=(rule, stream) not in said,
                )
                for one in find(case)
            ]
    return judgement


def lines(judgement: Judgement) -> Iterator[str]:
    """Yield a line for each rule and stream that found something and has not said so today."""
    for (_, stream), found in judgement.items():
        if found and found[0].said:
            words = "; ".join(one.words for one in found[:_MOST_NAMED])
            more = len(found) - _MOST_NAMED
            yield f"{stream}: unusual: {words}{f'; and {more} more' if more > 0 else ''}"


def unusual_now(history: History) -> list[Unusual]:
    """Return what was unusual when each stream was last judged, in the two newest days."""
    newest = [run for one in history.days[-2:] for run in one.runs]
    return [one for found in _last_judged(newest).values() for one in found]


def _since(runs: Iterable[RunRecord]) -> dict[tuple[str, str, str], dt.datetime]:
    """Return since when is unusual what the last runs found."""
    return {one.key: one.since for found in _last_judged(runs).values() for one in found}


def _gone(days: Iterable[Day], run: RunRecord) -> list[str]:
    """Return the streams that came before with all streams of a run, and that the run lacks.

    What came without these is another loader's, which its own runs judge. So is what came while
    runs with the streams of this one did.
    """
    newest: dict[str, Day] = {}
    for day in days:
        newest |= dict.fromkeys(day.usual, day)
    lacking = {name: day for name, day in newest.items() if name not in run.streams}
    own, gone = run.streams.keys(), []
    for day in {one.day: one for one in lacking.values()}.values():
        usual = [one.streams.keys() for one in day.runs if one.kind == USUAL]
        for stream in sorted(name for name, last in lacking.items() if last is day):
            *_, last = (n for n, streams in enumerate(usual) if stream in streams)
            if own <= usual[last] and own not in usual[:last]:
                gone.append(stream)
    return gone


def _last_judged(runs: Iterable[RunRecord]) -> Mapping[str, Sequence[Unusual]]:
    """Return by stream what the last usual run that judged it found; a stopped one judges none."""
    found: dict[str, list[Unusual]] = {}
    for run in runs:
        if run.kind == USUAL and run.ending != STOPPED:
            for stream in dict.fromkeys([*run.streams, *(one.stream for one in run.unusual)]):
                found[stream] = [one for one in run.unusual if one.stream == stream]
    return found


def _said(run: RunRecord) -> set[tuple[str, str]]:
    return {(one.rule, one.stream) for one in run.unusual if one.said}
