"""Conversions to LiveIntent by Dagster: a run each hour, a health check, and a replay by hand.

In a copy of this file, set PROJECT. Then `dagster dev -f liveintent.py` shows the jobs and starts
them by their schedules.
"""

import os
import subprocess

import dagster as dg

PROJECT = os.environ.get("LIVEINTENT_PROJECT", "/srv/shop")
"""The folder of the Meltano project."""

STOP_SECONDS = 60
"""How long to wait for a run that is stopped. The run ends in at most 20 seconds."""


def meltano(context: dg.OpExecutionContext, *command: str) -> None:
    """Run a command of Meltano, and log its output. If the command fails, the op fails."""
    with subprocess.Popen(
        ["meltano", *command],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        last = ""
        try:
            for line in process.stdout or ():
                last = line.strip() or last
                context.log.info(line.rstrip())
        finally:
            # If Dagster stops a run, it raises an exception here. Then stop the command, too.
            if process.poll() is None:
                process.terminate()
                rest, _ = process.communicate(timeout=STOP_SECONDS)
                context.log.info(rest)
    if process.returncode != 0:
        said = f"meltano {' '.join(command)}: {last}"
        raise dg.Failure(said, {"exit_code": process.returncode}, allow_retries=False)


@dg.op
def send(context: dg.OpExecutionContext) -> None:
    """Send the conversions since the last run."""
    meltano(context, "run", "tap-shopify", "target-liveintent")


@dg.op
def health(context: dg.OpExecutionContext) -> None:
    """Fail if the last run failed, something is unusual, or there was no run for three hours."""
    meltano(context, "invoke", "target-liveintent:health", "--max-age", "3")


@dg.op
def replay(context: dg.OpExecutionContext) -> None:
    """Send the dead letters that can be sent now."""
    meltano(context, "invoke", "target-liveintent:replay")


@dg.job
def liveintent() -> None:
    """Send conversions to LiveIntent."""
    send()


@dg.job
def liveintent_health() -> None:
    """Check that the runs are as usual."""
    health()


@dg.job
def liveintent_replay() -> None:
    """Send dead letters again. Start it by hand."""
    replay()


@dg.schedule(
    job=liveintent, cron_schedule="17 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING
)
def each_hour(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Start a run, unless the last one is still running."""
    unfinished = dg.RunsFilter(job_name="liveintent", statuses=UNFINISHED)
    if context.instance.get_runs(unfinished, limit=1):
        return dg.SkipReason("The last run is still running.")
    return dg.RunRequest()


UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

each_hour_health = dg.ScheduleDefinition(
    job=liveintent_health,
    cron_schedule="47 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

defs = dg.Definitions(
    jobs=[liveintent, liveintent_health, liveintent_replay],
    schedules=[each_hour, each_hour_health],
)
