"""What the driver does: says what a write would do, and judges one that is over."""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from target_liveintent.delivery import MOST_UNPROVEN_OF_NONE
from target_liveintent.errors import AllRefusedError, RunError, TooManyRejectedError
from target_liveintent.explain import MAX_RECORDS, Explained, Explanation, describe, run_problems
from target_liveintent.mapping import Stream, StreamPlan
from target_liveintent.printing import lines_of, print_lines
from target_liveintent.privacy import Suppressions
from target_liveintent.reporting import DONE, FAILED, REPLAY, USUAL, Ending, RunReporter
from target_liveintent.run import RunCounts, counted, too_many_rejected
from target_liveintent.spark.options import Job, job_of, names_of, warnings_of
from target_liveintent.spark.outcomes import Attempt, FactTable
from target_liveintent.spark.rows import rows_of
from target_liveintent.spark.task import LOGGER
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
    columns: dict[str, Any] = {name: {} for name in names_of(frame.columns, job.keys)}
    stream = Stream(job.stream, {"properties": columns}, job.keys)
    explained = Explained(stream, StreamPlan.without_map(job.stream, job.columns))
    explained.convert_records(job.settings.events, Suppressions(job.settings.suppression_path))
    for row in rows_of(frame.limit(MAX_RECORDS).toArrow().to_batches(), job.columns):
        explained.add(*row)
    notes = [f"At most {MAX_RECORDS:,} rows are read."]
    problems = list(run_problems([explained], job.settings))
    explanation = Explanation(notes, [describe(explained, job.settings, {})], [], problems)
    print_lines([*warnings_of(texts), *lines_of("explain/explanation.txt", explanation)])


def end(
    job: Job, run_id: str, done: Sequence[tuple[Attempt, RunCounts]], *, tasks: int
) -> RunError | None:
    """Judge a finished write, log its counts, and keep it in the history if there is one.

    Args:
        job: The write.
        run_id: The ID of its execution, unless the attempts name another one.
        done: The attempts that succeeded, each with its counts.
        tasks: How many tasks it had.

    Returns:
        Why it has failed; None if it has not.
    """
    settings, attempts = job.settings, [attempt for attempt, _ in done]
    began_at = min((one.began_at for one in attempts), default=time.time())
    counts = RunCounts(dry_run=settings.dry_run, seconds=time.time() - began_at)
    for _, more in done:
        counts.add(more)
    problem = _problem(job, attempts, counts, tasks)
    ending = Ending(DONE) if problem is None else Ending(FAILED, str(problem))
    run_id = attempts[0].run_id if attempts else run_id
    program = f"target-liveintent {importlib.metadata.version('target-liveintent')}"
    reporter = RunReporter(settings, program, LOGGER, sys.stderr, run_id=run_id, place=None)
    with contextlib.ExitStack() as stack:
        store = None
        if settings.has_database_server and not settings.dry_run:
            try:
                opened = open_store(settings, run_id, kind=REPLAY if job.is_replay else USUAL)
                store = stack.enter_context(contextlib.closing(opened))
            except RunError as failure:
                LOGGER.warning("%s, so the history lacks this write operation", failure)
        reporter.end(counts, ending, store)
    return problem


def _problem(
    job: Job, attempts: Sequence[Attempt], counts: RunCounts, tasks: int
) -> RunError | None:
    """Return why a write fails; None if it does not."""
    total, settings = counts.total, job.settings
    if len(attempts) < tasks:
        return RunError(
            "the write failed; the counts include only the tasks that succeeded"
            f" ({len(attempts)} of {tasks}). If outcomes_path is set, its table shows what the"
            " others have sent"
        )
    if total.unsettled:
        return RunError(
            "the counts of the tasks do not add up, so the outcome of some records is unknown:"
            " repeat the write, and report this bug"
        )
    refused = total.rejected["refused_by_api"]
    is_suspicious = refused > MOST_UNPROVEN_OF_NONE and not counts.has_taken
    if is_suspicious and not FactTable(job.outcomes_path).has_accepted(attempts[0], settings):
        return AllRefusedError(
            f"the API accepted no event of this write ({refused} events were refused). The cause"
            " may be in the settings, not in the events: check pixel_id and customer_id"
        )
    delivered = f"The write operation delivered {counted(total.delivered, 'event')}."
    if total.rejected and not (job.outcomes_path or settings.dry_run):
        reasons = ", ".join(f"{reason} {n}" for reason, n in total.rejected.most_common())
        return TooManyRejectedError(
            f"{counted(total.rejected.total(), 'row')} cannot be sent ({reasons}), and nothing"
            f" keeps them, because outcomes_path is not set. {delivered} Set outcomes_path and"
            " write these rows again: then a table keeps them with their reasons"
        )
    words = too_many_rejected(counts, settings.max_dead_letter_percent, at_end=True)
    if words and attempts[0].batches:  # A micro-batch that failed would fail again and again.
        LOGGER.warning("in this micro-batch, %s", words)
    elif words:
        msg = f"{words} {delivered} The rejected rows are in the table of outcomes."
        return TooManyRejectedError(msg)
    return None
