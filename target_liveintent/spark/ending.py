"""What the driver does when all tasks of a write are done, or one has failed for good."""

from __future__ import annotations

import time
from collections.abc import Sequence

from target_liveintent.delivery import MOST_UNPROVEN_OF_NONE, refused_as_a_whole
from target_liveintent.errors import AllRefusedError, RunError, TooManyRejectedError
from target_liveintent.reporting import DONE, FAILED, Ending
from target_liveintent.run import RunCounts, counted
from target_liveintent.settings import Settings
from target_liveintent.spark.acceptances import Acceptance, RecentEvents
from target_liveintent.spark.attempts import Write
from target_liveintent.spark.audit import AuditFolder
from target_liveintent.spark.dead_letters import DeadLetterFolder
from target_liveintent.spark.history import Written, keep
from target_liveintent.spark.options import Job
from target_liveintent.spark.task import LOGGER, TaskResult


def commit(job: Job, results: Sequence[TaskResult], *, tasks: int) -> None:
    """End a write whose tasks are all done: log the counts, publish the dead letters, judge.

    Args:
        job: The write.
        results: What became of its partitions.
        tasks: How many tasks it had.

    Raises:
        RunError: If records are missing, or too many of them were refused or rejected.
    """
    counts = _sum(results, dry_run=job.dry_run)
    for warning in counts.warnings(job.given.get("timezone", Settings.timezone)):
        LOGGER.warning(warning)
    for line in (*counts.lines(), *counts.advice("the folder that dead_letter_path names")):
        LOGGER.info(line)
    ending = Ending(DONE)
    try:
        _end(job, results, counts, tasks)
    except RunError as failure:
        ending = Ending(FAILED, str(failure))
        raise
    finally:
        if results:
            _keep_history(job, results[0].attempt.write, results, counts, ending)


def _end(job: Job, results: Sequence[TaskResult], counts: RunCounts, tasks: int) -> None:
    """Publish what the tasks have left, and judge the write."""
    if len(results) < tasks or counts.total.unsettled:
        msg = (
            "the counts of the tasks do not add up, so the outcome of some records is unknown:"
            " repeat the write, and report this bug"
        )
        raise RunError(msg)
    if not results:
        return
    write = results[0].attempt.write
    judged = counts if job.dry_run else _settle(job, write, results, counts)
    problem = judged.too_many_rejected(job.allowed_percent, at_end=True)
    if problem and write.batch is not None:  # One that fails would fail for ever.
        LOGGER.warning("in the last micro-batches of the stream, %s", problem)
    elif problem:
        delivered = counted(counts.total.delivered, "event")
        msg = (
            f"{problem} The write operation delivered {delivered}. Its dead letters are in the"
            " folder that dead_letter_path names."
        )
        raise TooManyRejectedError(msg)


def _settle(job: Job, write: Write, results: Sequence[TaskResult], counts: RunCounts) -> RunCounts:
    """Publish the dead letters, unless the settings are wrong; return the counts to judge by."""
    folder = DeadLetterFolder(job)
    recent = None if write.batch is None else RecentEvents(folder.store, write, counts)
    judged = counts if recent is None else recent.counts
    _judge_refusals(judged, Acceptance(folder.store, job.account))
    folder.publish(write, [one.attempt for one in results if one.has_dead_letters])
    folder.discard(write)
    _complete_audit(job, write, results)
    if job.audit_folder:
        LOGGER.info("the audit shows this write operation under the name '%s'", write.name)
    if recent is not None:
        recent.save()
    return judged


def _judge_refusals(counts: RunCounts, acceptance: Acceptance) -> None:
    """Fail if the API has never accepted anything, and has refused more than a few events."""
    refused = counts.total.rejected["refused_by_api"]
    if refused > MOST_UNPROVEN_OF_NONE and not counts.has_taken and not acceptance.is_known():
        said = f"{refused} events were refused"
        raise AllRefusedError(refused_as_a_whole("the API accepted no event of this write", said))


def _keep_history(
    job: Job, write: Write, results: Sequence[TaskResult], counts: RunCounts, ending: Ending
) -> None:
    # A micro-batch that begins again is another write: what it sends may be sent again.
    written = Written(write.id, counts, ending)
    keep(job.settings_of_the_write(), written, [one.tally for one in results], LOGGER)


def abort(job: Job, write: Write, results: Sequence[TaskResult], *, tasks: int) -> None:
    """End a write that has failed: say what it sent, delete its dead letters.

    Its records come again, and so do the dead letters.

    Args:
        job: The write.
        write: Its name.
        results: What became of the partitions that were done.
        tasks: How many tasks it had.
    """
    folder = DeadLetterFolder(job)
    if job.audit_folder and not results:
        write = AuditFolder(job).find(write)
    if not job.dry_run:
        _log_sent(job, folder, write, results)
    folder.discard(write)
    _complete_audit(job, write, results)
    if len(results) < tasks:  # Else a commit has failed, and the history has it.
        done = len(results)
        msg = (
            f"the write failed; the counts include only the tasks that succeeded ({done} of"
            f" {tasks})"
        )
        counts = _sum(results, dry_run=job.dry_run)
        _keep_history(job, write, results, counts, Ending(FAILED, msg))


def _log_sent(
    job: Job, folder: DeadLetterFolder, write: Write, results: Sequence[TaskResult]
) -> None:
    if job.audit_folder:
        known = AuditFolder(job).delivered(write)
    else:
        done = sum(one.counts.total.delivered for one in results)
        known = done + folder.delivered_by_failed(write)
    if not (known or results):  # A stream's driver does not even know its micro-batch then.
        LOGGER.warning(
            "the write has failed; the message of each failed task says how many events the task"
            " delivered"
        )
    elif job.audit_folder:
        msg = (
            "the write has failed; it delivered %s. The audit shows this write operation under the"
            " name '%s'"
        )
        LOGGER.warning(msg, counted(known, "event"), write.name)
    else:
        msg = (
            "the write has failed; it delivered %s, and tasks that were killed may have delivered"
            " more. To record each delivered event, set audit_path"
        )
        LOGGER.warning(msg, counted(known, "event"))


def _complete_audit(job: Job, write: Write, results: Sequence[TaskResult]) -> None:
    if job.audit_folder and not job.dry_run:
        joined = [one.attempt.name for one in results if one.has_joined_audit]
        AuditFolder(job).complete(write, joined)


def _sum(results: Sequence[TaskResult], *, dry_run: bool) -> RunCounts:
    began_at = min((result.began_at for result in results), default=time.time())
    counts = RunCounts(dry_run=dry_run, seconds=time.time() - began_at)
    for result in results:
        counts.add(result.counts)
    return counts
