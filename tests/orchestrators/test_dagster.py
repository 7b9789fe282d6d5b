"""The jobs of orchestrators.md, run by Dagster itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from environments import environment_with
from integration_support import wait_until
from orchestrator_support import EXAMPLES, Ended, Shop, fails_and_recovers

if TYPE_CHECKING:
    from pathlib import Path

    from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.orchestrators, pytest.mark.slow]

REQUIREMENTS = ("dagster==1.13.28",)
FILE = EXAMPLES / "dagster" / "liveintent.py"


class Dagster:
    """Dagster, with an instance of its own, which runs a shop's project."""

    def __init__(self, shop: Shop) -> None:
        self._programs = environment_with("dagster", *REQUIREMENTS)
        self._shop = shop
        home = shop.folder.parent / "dagster"
        home.mkdir(exist_ok=True)
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
        self.env = {
            "DAGSTER_HOME": str(home),
            "HOME": str(home),
            "LIVEINTENT_PROJECT": str(shop.folder),
            "PATH": f"{shop.folder}/.venv/bin:/usr/bin:/bin",
        }

    def command(self, job: str) -> list[str | Path]:
        """Return the command that executes a job."""
        return [self._programs / "dagster", "job", "execute", "-f", FILE, "-j", job]

    def execute(self, job: str) -> Ended:
        """Execute a job."""
        return self._shop.run(self.command(job), self.env)

    def python(self, program: str) -> Ended:
        """Run a program with the example as the module `liveintent`."""
        path = f"import sys; sys.path.insert(0, {str(FILE.parent)!r})\n"
        return self._shop.run([self._programs / "python", "-c", path + program], self.env)


@pytest.fixture
def dagster(shop: Shop) -> Dagster:
    return Dagster(shop)


def test_a_failure_and_the_run_after_it(dagster: Dagster, shop: Shop, sandbox: Sandbox) -> None:
    """The job of the run fails and recovers, and so does that of the health check."""
    fails_and_recovers(
        shop,
        sandbox,
        lambda: dagster.execute("liveintent"),
        lambda: dagster.execute("liveintent_health"),
    )
    replayed = dagster.execute("liveintent_replay")
    assert replayed.code == 0, replayed.said
    assert "total: read 2, " in replayed.said


def test_the_failure_has_the_code(dagster: Dagster) -> None:
    """What Dagster shows of a failure: the last line, and the exit code."""
    done = dagster.python(
        "import liveintent\n"
        "result = liveintent.liveintent_health.execute_in_process(raise_on_error=False)\n"
        "(failed,) = [e for e in result.all_events if e.event_type_value == 'STEP_FAILURE']\n"
        "data = failed.step_failure_data.user_failure_data\n"
        "print('SHOWN', data.metadata['exit_code'].value, data.description)\n"
    )
    assert done.code == 0, done.said
    assert (
        "SHOWN 3 meltano invoke target-liveintent:health --max-age 3: There is no run" in done.said
    )


def test_the_schedule(dagster: Dagster) -> None:
    """It starts a run each hour, and skips one while the last one goes on."""
    done = dagster.python(
        "import dagster as dg, liveintent\n"
        "instance = dg.DagsterInstance.get()\n"
        "def tick():\n"
        "    with dg.build_schedule_context(instance) as context:\n"
        "        return type(liveintent.each_hour(context)).__name__\n"
        "ticks = [tick()]\n"
        "instance.create_run_for_job(\n"
        "    liveintent.liveintent, status=dg.DagsterRunStatus.STARTED)\n"
        "ticks.append(tick())\n"
        "print('TICKS', *ticks)\n"
        "schedules = liveintent.defs.get_repository_def().schedule_defs\n"
        "print('CRON', *sorted(s.job_name + ' ' + s.cron_schedule for s in schedules))\n"
    )
    assert done.code == 0, done.said
    assert "TICKS RunRequest SkipReason" in done.said
    assert "CRON liveintent 17 * * * * liveintent_health 47 * * * *" in done.said


def test_a_stop(dagster: Dagster, shop: Shop, sandbox: Sandbox) -> None:
    """A run that Dagster stops ends by itself, and what it says last is in Dagster's log."""
    shop.keep_the_tap_open()
    process = subprocess.Popen(
        dagster.command("liveintent"),
        env={**shop.kept, **dagster.env},
        cwd=shop.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: len(sandbox.events) == 3, "the events", 240)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # What it started, too.
        process.wait(10)
        process.stdout.close()
    assert process.returncode != 0
    assert "stopped by SIGTERM" in said
