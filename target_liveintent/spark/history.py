"""Keeps a write in the history of runs: what its tasks have delivered, as one run."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
from collections.abc import Iterable
from typing import NamedTuple

from target_liveintent.clock import SYSTEM_CLOCK
from target_liveintent.errors import RunError
from target_liveintent.reporting import Ending, Tally, gather, keep_run, unusual_lines
from target_liveintent.run import RunCounts
from target_liveintent.settings import Settings
from target_liveintent.store import open_store


def new_tally(settings: Settings) -> Tally | None:
    """Return what counts the delivered events of a task; None if there is no store."""
    return Tally(settings.events.zone, SYSTEM_CLOCK) if settings.has_database_server else None


class Written(NamedTuple):
    """A write that is over.

    Attributes:
        id: Its ID, in the history as well.
        counts: The counts of all tasks that were done.
        ending: How it ended.
    """

    id: str
    counts: RunCounts
    ending: Ending


def keep(
    settings: Settings,
    written: Written,
    tallies: Iterable[Tally | None],
    logger: logging.Logger,
) -> None:
    """Put a write into the history, if there is one; what goes wrong is a warning.

    Args:
        settings: The settings of the write.
        written: The write.
        tallies: Those of its tasks.
        logger: Takes warnings, and what is unusual.
    """
    total = new_tally(settings)
    if total is None or settings.dry_run:
        return
    for tally in tallies:
        if tally is not None:
            total.merge(tally)
    total.timeline.update(written.counts)
    version = importlib.metadata.version("target-liveintent")
    names = {"target": f"target-liveintent {version}", "run_id": written.id}
    facts = gather(
        written.counts, total, settings, written.ending, **names, now=SYSTEM_CLOCK.time()
    )
    try:
        store = open_store(settings, written.id)
        with contextlib.closing(store):
            kept = keep_run(written.counts, total, settings, facts, store)
    except RunError as failure:
        logger.warning("%s, so the history lacks this write operation", failure)
        return
    for line in unusual_lines(kept.judgement):
        logger.warning(line)
