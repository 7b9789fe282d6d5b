"""Keeps a run that is over in the store, and compares it with the usual days before it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from target_liveintent.privacy import without_secrets
from target_liveintent.reporting.history.entry import entry_of
from target_liveintent.reporting.history.judge import NOT_JUDGED, Judgement, judge
from target_liveintent.reporting.history.model import History, RunEntry
from target_liveintent.reporting.history.reading import read_history
from target_liveintent.reporting.run_report.model import STOPPED, Facts
from target_liveintent.reporting.run_report.tally import Tally
from target_liveintent.run import RunCounts
from target_liveintent.settings import Settings
from target_liveintent.store import RunStore


class KeptRun(NamedTuple):
    """A run that is kept.

    Attributes:
        entry: What the run left.
        history: What was there before it; None if the run was not compared.
        judgement: What is unusual at its end.
    """

    entry: RunEntry
    history: History | None
    judgement: Judgement


def keep_run(
    counts: RunCounts, tally: Tally, settings: Settings, facts: Facts, store: RunStore
) -> KeptRun:
    """Keep the figures of a run, and return what is unusual.

    Raises:
        StorageError: If the store cannot be used.
    """
    entry = entry_of(counts, tally, settings, facts)
    history, judgement = None, NOT_JUDGED
    if entry.run.ending != STOPPED:  # Whoever stops a run does not wait for that.
        history = read_history(store.database, settings, entry.day)
        judgement = judge(history, entry.run, settings.events.zone)
    entry.run.unusual = [one for found in judgement.values() for one in found]
    store.finish(entry.run.ending, without_secrets(msgspec.json.encode(entry).decode()))
    return KeptRun(entry, history, judgement)
