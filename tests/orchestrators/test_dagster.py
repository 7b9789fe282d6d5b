"""The jobs of orchestrators.md, run by Dagster itself."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest
from environments import environment_with
from integration_support import wait_until
from orchestrator_support import EXAMPLES, Ended, Shop, fails_and_recovers

from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.orchestrators, pytest.mark.slow]

REQUIREMENTS = ("dagster==1.13.28",)
FILE = EXAMPLES / "dagster" / "liveintent.py"


class Dagster:
    """Dagster, with an instance of its own, which runs a shop's project."""

    def __init__(self, shop: Shop) -> None:
        self.programs = environment_with("dagster", *REQUIREMENTS)
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
        return [self.programs / "dagster", "job", "execute", "-f", FILE, "-j", job]

    def execute(self, job: str) -> Ended:
        """Execute a job."""
        return self._shop.run(self.command(job), self.env)


def test_a_failure_and_the_run_after_it(shop: Shop, sandbox: Sandbox) -> None:
    """The job of the run fails and recovers, and so does that of the health check."""
    dagster = Dagster(shop)
    fails_and_recovers(
        shop,
        sandbox,
        lambda: dagster.execute("liveintent"),
        lambda: dagster.execute("liveintent_health"),
    )
    replayed = dagster.execute("liveintent_replay")
    assert replayed.code == 0, replayed.said
    assert "total: read 2, " in replayed.said


PROGRAM = f"""
import sys
sys.path.insert(0, {str(FILE.parent)!r})
import dagster as dg
import liveintent

result = liveintent.liveintent_health.execute_in_process(raise_on_error=False)
(failed,) = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
data = failed.step_failure_data.user_failure_data
print("SHOWN", data.metadata["exit_code"].value, data.description)

instance = dg.DagsterInstance.get()
def tick():
    with dg.build_schedule_context(instance) as context:
        return type(liveintent.each_hour(context)).__name__
first = tick()
instance.create_run_for_job(liveintent.liveintent, status=dg.DagsterRunStatus.STARTED)
print("TICKS", first, tick())
"""


def test_what_dagster_shows(shop: Shop) -> None:
    """A failure has the last line and the exit code; no run starts while the last one goes on."""
    dagster = Dagster(shop)
    done = shop.run([dagster.programs / "python", "-c", PROGRAM], dagster.env)
    assert done.code == 0, done.said
    health = "SHOWN 3 meltano invoke target-liveintent:health --max-age 3: There is no run"
    assert health in done.said
    assert "TICKS RunRequest SkipReason" in done.said


def test_a_stop(shop: Shop, sandbox: Sandbox) -> None:
    """A run that Dagster stops ends by itself, and what it says last is in Dagster's log."""
    shop.keep_the_tap_open()
    dagster = Dagster(shop)
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
