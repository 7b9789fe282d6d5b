"""What the driver does: says what a write would do, and judges one that is over."""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from target_liveintent.delivery import MOST_UNPROVEN_OF_NONE, all_refused
from target_liveintent.errors import RunError, TooManyRejectedError
from target_liveintent.explain import (
    MAX_RECORDS,
    Explained,
    Explanation,
    describe,
    run_problems,
)
from target_liveintent.mapping import Stream, StreamPlan
from target_liveintent.printing import lines_of, print_lines
from target_liveintent.privacy import Suppressions
from target_liveintent.reporting import DONE, FAILED, REPLAY, USUAL, Ending, RunReporter
from target_liveintent.run import RunCounts, counted, too_many_rejected
from target_liveintent.spark.options import Job, job_of, names_of, warnings_of
from target_liveintent.spark.outcomes import Attempt
from target_liveintent.spark.rows import records_of
from target_liveintent.spark.task import LOGGER, TaskResult, has_accepted
from target_liveintent.store import open_store


def explain(frame: Any, options: Mapping[str, object]) -> None:
    """Print what a write of a DataFrame would do, by its first 10,000 rows.

    Args:
        frame: The DataFrame. Its rows are not those of the table of outcomes.
        options: The options of the write.

    Raises:
        ConfigurationError: If options are wrong.
        StreamMappingError: If the columns can never give an event.
    """
    texts = {name.lower(): str(value) for name, value in options.items() if value is not None}
    job = job_of(texts, frame.columns)
    names = names_of(frame.columns, job.keys)
    schema: dict[str, Any] = {"properties": {name: {} for name in names}}
    plan = StreamPlan.without_map(job.stream, job.columns)
    explained = Explained(Stream(job.stream, schema, job.keys), plan)
    suppressions = Suppressions(job.settings.suppression_path)
    explained.convert_records(job.settings.events, suppressions)
    for batch in frame.limit(MAX_RECORDS).toArrow().to_batches():
        for rows in records_of(batch, job.columns):
            for row in rows:
                explained.add(*row)
    notes = []
    if explained.counts.read >= MAX_RECORDS:
        notes.append(f"Only the first {MAX_RECORDS:,} records were read.")
    problems = list(run_problems([explained], job.settings))
    explanation = Explanation(notes, [describe(explained, job.settings, {})], [], problems)
    print_lines([*warnings_of(texts), *lines_of("explain/explanation.txt", explanation)])


def end(job: Job, run_id: str, results: Sequence[TaskResult], *, tasks: int) -> RunError | None:
    """Judge a finished write, log its counts, and keep it in the history if there is one.

    Args:
        job: The write.
        run_id: The ID of its execution, unless the results name another one.
        results: What became of the partitions whose tasks succeeded.
        tasks: How many tasks it had.

    Returns:
        Why it has failed; None if it has not.
    """
    began_at = min((result.attempt.began_at for result in results), default=time.time())
    counts = RunCounts(dry_run=job.settings.dry_run, seconds=time.time() - began_at)
    for result in results:
        counts.add(result.counts)
    problem: RunError | None = None
    if len(results) < tasks:
        msg = (
            f"the write failed; the counts include only the tasks that succeeded ({len(results)} of"
            f" {tasks}). If outcomes_path is set, its table shows what the others have sent"
        )
        problem = RunError(msg)
    elif counts.total.unsettled:
        msg = (
            "the counts of the tasks do not add up, so the outcome of some records is unknown:"
            " repeat the write, and report this bug"
        )
        problem = RunError(msg)
    elif results:
        problem = _problem(job, results[0].attempt, counts)
    ending = Ending(DONE) if problem is None else Ending(FAILED, str(problem))
    _report(job, run_id, results, counts, ending)
    return problem


def _problem(job: Job, attempt: Attempt, counts: RunCounts) -> RunError | None:
    """Return why a write fails: because of wrong settings, or too many rejected records."""
    total, settings = counts.total, job.settings
    refused = total.rejected["refused_by_api"]
    is_suspicious = refused > MOST_UNPROVEN_OF_NONE and not counts.has_taken
    if is_suspicious and not has_accepted(job, attempt):
        said = f"{refused} events were refused"
        return all_refused("the API accepted no event of this write", said)
    delivered = f"The write operation delivered {counted(total.delivered, 'event')}."
    if total.rejected and not (job.outcomes_path or settings.dry_run):
        reasons = ", ".join(f"{reason} {n}" for reason, n in total.rejected.most_common())
        msg = (
            f"{counted(total.rejected.total(), 'row')} cannot be sent ({reasons}), and nothing"
            f" keeps them, because outcomes_path is not set. {delivered} Set outcomes_path and"
            " write these rows again: then a table keeps them with their reasons"
        )
        return TooManyRejectedError(msg)
    words = too_many_rejected(counts, settings.max_dead_letter_percent, at_end=True)
    if words and attempt.batches:  # A micro-batch that failed would fail again and again.
        LOGGER.warning("in this micro-batch, %s", words)
    elif words:
        msg = f"{words} {delivered} The rejected rows are in the table of outcomes."
        return TooManyRejectedError(msg)
    return None


def _report(
    job: Job, run_id: str, results: Sequence[TaskResult], counts: RunCounts, ending: Ending
) -> None:
    """Log the counts of a write, and put it into the history if there is one."""
    settings = job.settings
    run_id = results[0].attempt.run_id if results else run_id
    program = f"target-liveintent {importlib.metadata.version('target-liveintent')}"
    reporter = RunReporter(settings, program, LOGGER, sys.stderr, run_id=run_id, place=None)
    with contextlib.ExitStack() as stack:
        store = None
        if settings.has_database_server and not settings.dry_run:
            kind = REPLAY if job.is_replay else USUAL
            try:
                store = stack.enter_context(
                    contextlib.closing(open_store(settings, run_id, kind=kind))
                )
            except RunError as failure:
                LOGGER.warning("%s, so the history lacks this write operation", failure)
        reporter.end(counts, ending, store)
