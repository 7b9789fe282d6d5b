"""Runs on Spark's driver: explains what a write would do, and decides whether a write failed."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from target_liveintent import __version__
from target_liveintent.delivery.refusals import MOST_UNPROVEN_OF_NONE
from target_liveintent.errors import AllRefusedError, RunError, StorageError, TooManyRejectedError
from target_liveintent.explain import description
from target_liveintent.failures import Facts, Failure, FailureCode
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.stream_maps import Stream, StreamPlan
from target_liveintent.printing import lines_of, print_lines
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.reporting.history import Ending
from target_liveintent.reporting.reporter import RunReporter
from target_liveintent.run.counts import RunCounts
from target_liveintent.run.stopping import too_many_rejected
from target_liveintent.spark.options import SparkWrite, option_warnings, write_of
from target_liveintent.spark.outcomes import Attempt, OutcomeTable
from target_liveintent.spark.rows import names_of, rows_of
from target_liveintent.spark.task import LOGGER
from target_liveintent.store.opening import open_store


def explain_rows(frame: Any, options: Mapping[str, object]) -> None:
    """Print what a write would do with the first 10,000 rows of a DataFrame.

    Args:
        frame: The DataFrame.
        options: The options of the write, by their names.

    Raises:
        ConfigurationError: If options are wrong.
        StreamMappingError: If the columns can never give an event.
    """
    texts = {name.lower(): str(value) for name, value in options.items() if value is not None}
    write = write_of(texts, frame.columns)
    settings, source = write.settings, write.source
    columns: dict[str, Any] = {name: {} for name in names_of(frame.columns, source.keys)}
    stream = Stream(source.stream, {"properties": columns}, source.keys)
    plan = StreamPlan.without_map(source.stream, source.columns)
    explained = description.Explained(stream, plan)
    listed = Suppressions(settings.suppression_path)
    converter = RecordConverter(stream, plan, settings.events, listed)
    explained.counts.mapped |= plan.identifying
    for batch in frame.limit(description.MAX_RECORDS).toArrow().to_batches():
        for row, violation in rows_of(batch, source.columns):
            explained.add(row, converter, violation, time.time())
    notes = [*listed.warnings, f"At most {description.MAX_RECORDS:,} rows are read."]
    failures = list(
        description.run_failures(
            [explained], settings.on_rejection, settings.max_dead_letter_percent
        )
    )
    streams = [description.describe(explained, settings.events)]
    explanation = description.Explanation(notes, streams, [], failures)
    print_lines([*option_warnings(texts), *lines_of("explain/explanation.txt", explanation)])


def end_write(
    write: SparkWrite, begun: Attempt, done: Sequence[tuple[Attempt, RunCounts]], tasks: int
) -> RunError | None:
    """Log the counts of a finished write, add the write to the history, and return its error.

    Args:
        write: The write.
        begun: The start time and the ID of the write, in case no attempt succeeded.
        done: The attempts that succeeded, each with its counts.
        tasks: The number of tasks of the write.

    Returns:
        The error if the write has failed, otherwise None.
    """
    settings, first = write.settings, next((attempt for attempt, _ in done), begun)
    kind, seconds = write.source.kind, time.time() - first.began_at
    counts = RunCounts(kind=kind, dry_run=settings.dry_run, seconds=seconds)
    for _, more in done:
        counts.add(more)
    problem = _problem(write, first, counts, tasks - len(done))
    ending = Ending(None if problem is None else problem.failure)
    program = f"target-liveintent {__version__}"
    reporter = RunReporter(settings, program, LOGGER, sys.stderr, run_id=first.run_id, place=None)
    store = None
    if settings.storage.is_on_server and not settings.dry_run:
        try:
            store = open_store(settings.storage, first.run_id, kind=kind.name)
        except StorageError as failure:  # The write does not fail: its events are delivered.
            LOGGER.warning("%s, so the history lacks this write", failure)
    with contextlib.closing(store) if store else contextlib.nullcontext():
        reporter.end(counts, ending, store)
    return problem


def _problem(write: SparkWrite, first: Attempt, counts: RunCounts, failed: int) -> RunError | None:
    """Return the error of a write, of which `failed` tasks failed; None if the write succeeded."""
    total, settings = counts.total, write.settings
    if failed or total.without_outcome:
        return RunError(
            Failure.of(FailureCode.TASKS_FAILED, tasks=failed, rows=total.without_outcome)
        )
    refused = total.rejected["refused_by_api"]
    is_suspicious = refused > MOST_UNPROVEN_OF_NONE and not counts.has_taken
    if is_suspicious and not OutcomeTable(write).has_accepted(first):
        return AllRefusedError(Failure.of(FailureCode.WRITE_REFUSED, events=refused))
    rejected = total.rejected.total()
    if rejected and not (write.outcomes_path or settings.dry_run):
        facts: Facts = {"rows": rejected, "delivered": total.delivered}
        return TooManyRejectedError(Failure(FailureCode.ROWS_NOT_KEPT, facts))
    failure = too_many_rejected(counts, settings.max_dead_letter_percent, at_end=True)
    if failure is None:
        return None
    if len(first.writes) > 1:  # Spark repeats a failed micro-batch, which would fail again.
        LOGGER.warning("in this micro-batch, %s", failure.words)
        return None
    facts = {**failure.facts, "delivered": total.delivered}
    return TooManyRejectedError(msgspec.structs.replace(failure, facts=facts))
