"""The examples of orchestrators.md, run as cron, systemd, Airflow and Dagster run them."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import programs
import pytest
from docs_support import Project, shop_project
from environments import environment_with
from integration_support import wait_until
from meltano_support import MELTANO, ROOT
from needs import not_installed

from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.slow]

EXAMPLES = ROOT / "examples"
PLACE = "/srv/shop"
"""Where the examples have the project."""
Ended = tuple[int, str]
"""The exit code of a command of a scheduler, and what it said."""


class Shop:
    """The project of the documentation, where an example finds it."""

    def __init__(self, project: Project) -> None:
        self.folder = project.folder
        self.beside = self.folder.parent
        self._settings = (self.folder / ".env").read_text(encoding="utf-8")
        programs = self.folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        (programs / "meltano").symlink_to(MELTANO)
        self.set_token("sandbox-token")

    def set_token(self, token: str) -> None:
        """Write a token into the project's settings."""
        text = self._settings.replace("=sandbox-token", f"={token}")
        (self.folder / ".env").write_text(text, encoding="utf-8")

    def keep_the_tap_open(self) -> None:
        """From now on, the tap does not end after its orders; what was read is sent meanwhile."""
        tap = self.folder / ".programs" / "tap-shopify"
        text = tap.read_text(encoding="utf-8").replace("exec ", "", 1)
        stay = 'case "$*" in *--discover*) ;; *) exec sleep 120 ;; esac\n'
        tap.write_text(text + stay, encoding="utf-8")
        self._settings += "TARGET_LIVEINTENT_FLUSH_INTERVAL_SECONDS=1\n"
        self.set_token("sandbox-token")

    def here(self, text: str) -> str:
        """Return a text of an example, with this folder in place of its own."""
        assert PLACE in text
        return text.replace(PLACE, str(self.folder))

    def run(
        self, command: Sequence[str | Path], env: Mapping[str, str], folder: Path | None = None
    ) -> Ended:
        """Run a command with this environment and no other; output and errors come together."""
        done = programs.run(command, folder or self.folder, {**self.kept, **env}, together=True)
        return done.returncode, done.stdout

    @property
    def kept(self) -> dict[str, str]:
        """What each environment has: no requests to other machines, and the code under test."""
        kept = {"MELTANO_CLI_DISABLE_VERSION_CHECK": "1", "NO_PROXY": "127.0.0.1", "NO_COLOR": "1"}
        if path := os.environ.get("PYTHONPATH"):
            kept["PYTHONPATH"] = path
        return kept


@pytest.fixture
def shop(sandbox: Sandbox, tmp_path: Path) -> Iterator[Shop]:
    """A project with a tap that sends six orders, of which three can be sent."""
    with shop_project(tmp_path / "shop", sandbox.url) as project:
        yield Shop(project)


# cron

CRONTAB = (EXAMPLES / "cron" / "crontab").read_text(encoding="utf-8")
SEND, HEALTH = re.findall(r"^(?:[\d*/,-]+ ){5}(.+)$", CRONTAB, re.MULTILINE)
"""The commands of the two lines, without their times."""


def by_cron(shop: Shop, command: str) -> Ended:
    """Run a command as cron does; its code is 1 if cron would send a mail of its output."""
    assert "%" not in command  # cron would make a new line of it.
    env = {"HOME": str(shop.beside), "LOGNAME": "shop", "SHELL": "/bin/sh"}
    for name, value in re.findall(r"^([A-Z]+)=(.*)$", CRONTAB, re.MULTILINE):
        env[name] = value.replace(PLACE, str(shop.folder))
    _, said = shop.run([env["SHELL"], "-c", shop.here(command)], env, shop.beside)
    return int(said != ""), said


def test_one_at_a_time(shop: Shop, sandbox: Sandbox) -> None:
    """While a run of cron goes on, the next one does nothing, and says nothing."""
    while_it_runs = f"flock run.lock sh -c {SEND.partition(' && ')[2]!r}"
    (shop.folder / "run.log").touch()
    assert by_cron(shop, f"cd /srv/shop && {while_it_runs}") == (0, "")
    assert sandbox.stats.requests == 0


@pytest.mark.skipif(shutil.which("crontab") is None, reason=not_installed("cron"))
def test_cron_takes_it(tmp_path: Path) -> None:
    """The program that installs a crontab finds nothing wrong with it, and would find a mistake."""
    usage = programs.run(["crontab", "-h"], together=True).stdout
    check = "-T" if "-T" in usage else "-n"  # Debian's cron has -n.
    for text, right in ((CRONTAB, True), (CRONTAB.replace("\n47 ", "\n67 "), False)):
        path = tmp_path / "crontab"
        path.write_text(text, encoding="utf-8")
        done = programs.run(["crontab", check, path])
        assert (done.returncode == 0) == right, done.stderr


# systemd

UNITS = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("systemd/*.*")}


def by_systemd(shop: Shop, name: str) -> Ended:
    """Run the command of a unit, in its folder and with systemd's bare environment.

    A unit that fails starts the one that tells, with its own name; test_docs_alerts runs it.
    """
    unit = dict(re.findall(r"^(\w+)=(.*)$", UNITS[f"{name}.service"], re.MULTILINE))
    assert (unit["WorkingDirectory"], unit["OnFailure"]) == (PLACE, "liveintent-tell@%n.service")
    env = {"HOME": str(shop.folder), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    return shop.run(shlex.split(shop.here(unit["ExecStart"])), env)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_takes_them(shop: Shop, tmp_path: Path) -> None:
    """Systemd itself finds nothing wrong with the units, and would find a mistake."""
    (shop.folder / "tell").write_text("#!/bin/sh\n", encoding="utf-8")
    (shop.folder / "tell").chmod(0o755)
    folder = tmp_path / "units"
    folder.mkdir()
    for name, text in UNITS.items():
        path = folder / name
        path.write_text(text.replace(PLACE, str(shop.folder)), encoding="utf-8")
    assert len(UNITS) == 5

    def verify() -> tuple[int, str]:
        command = ("systemd-analyze", "verify", *sorted(folder.iterdir()))
        done = programs.run(command, together=True)
        return done.returncode, done.stdout

    assert verify() == (0, "")
    timer = folder / "liveintent.timer"
    timer.write_text(timer.read_text(encoding="utf-8").replace("*:17", "*:77"), encoding="utf-8")
    assert "Failed to parse calendar specification" in verify()[1]


# Airflow and Dagster, which the tests install

AIRFLOW = ("apache-airflow==3.3.2", "apache-airflow-providers-standard==1.21.0")
DAGSTER = EXAMPLES / "dagster" / "liveintent.py"


def by_airflow(shop: Shop, *command: str) -> Ended:
    """Run a command of Airflow, which has a database of its own."""
    programs = environment_with("airflow", *AIRFLOW)
    home = shop.beside / "airflow"
    env = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "HOME": str(home),
        "LIVEINTENT_PROJECT": str(shop.folder),
        "PATH": f"{shop.folder}/.venv/bin:{programs}:/usr/bin:/bin",
    }
    if not home.exists():
        home.mkdir()
        assert shop.run([programs / "airflow", "db", "migrate"], env)[0] == 0
        _, said = shop.run([programs / "airflow", "dags", "list-import-errors"], env)
        assert said.strip().endswith("No data found")
    return shop.run([programs / "airflow", *command], env)


def dagster(shop: Shop) -> tuple[Path, dict[str, str]]:
    """Return Dagster's programs, and the environment of an instance of its own."""
    home = shop.beside / "dagster"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    return environment_with("dagster", "dagster==1.13.28"), {
        "DAGSTER_HOME": str(home),
        "HOME": str(home),
        "LIVEINTENT_PROJECT": str(shop.folder),
        "PATH": f"{shop.folder}/.venv/bin:/usr/bin:/bin",
    }


def by_dagster(shop: Shop, job: str) -> Ended:
    """Execute a job."""
    programs, env = dagster(shop)
    return shop.run([programs / "dagster", "job", "execute", "-f", DAGSTER, "-j", job], env)


PROGRAM = f"""
import sys
sys.path.insert(0, {str(DAGSTER.parent)!r})
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


@pytest.mark.orchestrators
def test_what_dagster_shows(shop: Shop) -> None:
    """A failure has the last line and the exit code; no run starts while the last one goes on."""
    programs, env = dagster(shop)
    code, said = shop.run([programs / "python", "-c", PROGRAM], env)
    assert code == 0, said
    assert "SHOWN 3 meltano invoke target-liveintent:health --max-age 3: There is no run" in said
    assert "TICKS RunRequest SkipReason" in said


@pytest.mark.orchestrators
def test_a_stop(shop: Shop, sandbox: Sandbox) -> None:
    """A run that Dagster stops ends by itself, and what it says last is in Dagster's log."""
    shop.keep_the_tap_open()
    programs, env = dagster(shop)
    process = subprocess.Popen(
        [programs / "dagster", "job", "execute", "-f", DAGSTER, "-j", "liveintent"],
        env={**shop.kept, **env},
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


# A failure, and the run after it

SCHEDULERS: dict[str, Callable[[Shop, str], Ended]] = {
    "cron": lambda shop, end: by_cron(shop, HEALTH if end else SEND),
    "systemd": lambda shop, end: by_systemd(shop, f"liveintent{end.replace('_', '-')}"),
    "airflow": lambda shop, end: by_airflow(shop, "dags", "test", f"liveintent{end}"),
    "dagster": lambda shop, end: by_dagster(shop, f"liveintent{end}"),
}
"""How a scheduler runs a job, by the end of its name."""
INSTALLED = ("airflow", "dagster")


@pytest.mark.parametrize(
    "scheduler",
    [
        pytest.param(one, marks=[pytest.mark.orchestrators] if one in INSTALLED else [])
        for one in SCHEDULERS
    ],
)
def test_a_failure_and_the_run_after_it(shop: Shop, sandbox: Sandbox, scheduler: str) -> None:
    """A run with a wrong token fails, and so does the health check; both say why.

    The next run, with the right token, sends all that the first did not.
    """
    by = SCHEDULERS[scheduler]
    shop.set_token("wr0ng-token")
    for end in ("", "_health"):
        code, said = by(shop, end)
        assert (code != 0, "the API denied access" in said) == (True, True), said
    assert sandbox.events == []
    shop.set_token("sandbox-token")
    for end in ("", "_health", "_replay") if scheduler in INSTALLED else ("", "_health"):
        code, said = by(shop, end)
        assert code == 0, said
    assert (len(sandbox.events), sandbox.stats.duplicates) == (3, 0)
    if scheduler in INSTALLED:
        assert "total: read 2, " in said
    elif scheduler == "cron":
        assert "dead-lettered 2" in (shop.folder / "run.log").read_text(encoding="utf-8")
