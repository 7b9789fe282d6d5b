"""The commands of how-to/alerts.md that tell somebody, against a receiver on this machine."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import json
import os
import re
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml
from docs_support import DOCS, PROGRAMS, ROOT, Block, blocks
from reporting_support import figures, run

from target_liveintent.config import settings_of
from target_liveintent.reporting.history import stored_text
from target_liveintent.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = DOCS / "how-to" / "alerts.md"
EXCUSE = "run by tests/docs/test_docs_alerts.py"
ACCOUNT: dict[str, Any] = {
    "customer_id": "a-1b2c",
    "pixel_id": 12345,
    "api_url": "https://api.example.com",
}
MESSAGE = "the API denied access (401). The token may have been rotated"


def block(kind: str, title: str | None = None) -> Block:
    """Return the block of a kind and title that this module runs."""
    (found,) = (
        one for one in blocks(PAGE) if (one.kind, one.title, one.excuse) == (kind, title, EXCUSE)
    )
    return found


class Receiver(http.server.ThreadingHTTPServer):
    """Takes what apprise posts.

    Attributes:
        alerts: The title and the text of each.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.alerts: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        """What stands in APPRISE_URLS."""
        return f"json://127.0.0.1:{self.server_port}/"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.alerts.append((body["title"], body["message"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Shop(NamedTuple):
    """A folder as the page has it in /srv/shop, and who hears of it."""

    folder: Path
    receiver: Receiver

    def leave_runs(self, *endings: str) -> None:
        """Leave an hourly run for each ending in the store; the last was half an hour ago."""
        settings = settings_of({**ACCOUNT, "auth_token": "none", "store": str(self.store)})
        now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0) - dt.timedelta(minutes=30)
        for back, ending in enumerate(reversed(endings)):
            left = run(
                now - dt.timedelta(hours=back),
                run_id=f"0-{back}",
                ending=ending,
                message=MESSAGE if ending == "failed" else None,
                streams={"orders": figures(10, within_an_hour=10)},
            )
            with contextlib.closing(open_store(settings, left.run_id)) as store:
                store.finish(ending, stored_text(left))

    @property
    def store(self) -> Path:
        """The file of the store."""
        return self.folder / "liveintent.sqlite"

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command where the page says that it runs."""
        settings = {
            f"TARGET_LIVEINTENT_{name.upper()}": str(value) for name, value in ACCOUNT.items()
        }
        return subprocess.run(
            [self.here(part) for part in command],
            cwd=self.folder,
            env={
                **settings,
                "PATH": f"{self.folder / '.venv' / 'bin'}:{os.environ['PATH']}",
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                "HOME": str(self.folder),
                "APPRISE_URLS": self.receiver.url,
                **env,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def here(self, text: str) -> str:
        """Return a text with this folder in place of the page's."""
        return text.replace("/srv/shop", str(self.folder))

    def heard(self, title: str) -> None:
        """See that one alert came, with a title and the text for people on call."""
        ((found, text),) = self.receiver.alerts
        assert title in found
        lines = text.splitlines()
        assert len(lines) <= 12
        assert lines[0].startswith(
            "LiveIntent refused the access key. Account a-1b2c at api.example.com"
        )
        assert MESSAGE in text
        assert "Last run: 0-0, failed" in text
        self.receiver.alerts.clear()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for program in (PROGRAMS / "target-liveintent", PROGRAMS / "apprise"):
        (programs / Path(str(program)).name).symlink_to(str(program))
    (tmp_path / "liveintent.json").write_text(json.dumps(ACCOUNT), encoding="utf-8")
    tell = tmp_path / "tell"
    tell.write_text(block("sh", "tell").text, encoding="utf-8")
    tell.chmod(0o755)
    with contextlib.closing(receiver.socket):
        yield Shop(tmp_path, receiver)
        receiver.shutdown()
        thread.join()


GOOD, BAD = ("done", "done"), ("done", "failed", "failed")


def cron_command() -> list[str]:
    """Return what the line of the crontab runs, having checked that it is one."""
    setting, line = block("crontab").text.splitlines()
    assert setting.startswith("APPRISE_URLS=mailtos://")
    found = re.fullmatch(r"(?:[\d*/,-]+ ){5}(cd /srv/shop && .+)", line)
    assert found
    return ["sh", "-c", found[1]]


def kubernetes_command() -> list[str]:
    """Return what the job runs."""
    job = yaml.safe_load(block("yaml", "liveintent-health.yaml").text)
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return [*container["command"], *container["args"]]


@pytest.mark.parametrize(("endings", "code"), [(GOOD, 0), (BAD, 3)])
def test_health(shop: Shop, endings: tuple[str, ...], code: int) -> None:
    """The first command, what the page shows of a bad day, and the exit code of a probe."""
    shop.leave_runs(*endings)
    done = shop.run("sh", "-c", block("sh").text)
    assert done.returncode == code
    if code:
        shown, _, _ = block("text").text.partition("…")
        assert done.stdout.startswith(shown)
    probe = yaml.safe_load(block("yaml", "probe.yaml").text)["readinessProbe"]
    assert shop.run(*probe["exec"]["command"]).returncode == code
    assert probe["timeoutSeconds"] >= 30


@pytest.mark.slow
@pytest.mark.parametrize(("command", "code"), [(cron_command, 0), (kubernetes_command, 1)])
def test_a_job_that_tells(shop: Shop, command: Callable[[], list[str]], code: int) -> None:
    """Nobody is told while all is usual; what runs of a bad day is told, and the job fails."""
    shop.leave_runs(*GOOD)
    assert shop.run(*command()).returncode == 0
    assert shop.receiver.alerts == []
    shop.store.unlink()
    shop.leave_runs(*BAD)
    assert shop.run(*command()).returncode == code
    shop.heard("LiveIntent: The last 2 runs failed: the API denied access")


@pytest.mark.slow
def test_systemd(shop: Shop) -> None:
    """The unit that tells, when the run or the health check has failed."""
    shop.leave_runs(*BAD)
    template = (ROOT / "examples" / "systemd" / "liveintent-tell@.service").read_text("utf-8")
    (command,) = re.findall(r"^ExecStart=(.+)$", template, re.MULTILINE)
    done = shop.run("sh", "-c", command.replace("%i", "liveintent.service"))
    assert done.returncode == 0, done.stderr
    shop.heard("LiveIntent: liveintent.service failed")


@pytest.mark.slow
def test_a_check_that_cannot_check(shop: Shop) -> None:
    """Wrong settings, or a store that is down, are told as well, with what the log says."""
    settings = {**ACCOUNT, "timezone": "Mars/Olympus"}
    (shop.folder / "liveintent.json").write_text(json.dumps(settings), encoding="utf-8")
    for command in (kubernetes_command(), cron_command()):
        shop.run(*command, TARGET_LIVEINTENT_TIMEZONE="Mars/Olympus")
        ((title, text),) = shop.receiver.alerts
        assert title == "LiveIntent: the health check failed"
        assert "timezone" in text
        shop.receiver.alerts.clear()


def test_github_actions(shop: Shop) -> None:
    """The step fails, and the one after a failure writes the summary and tells."""
    text = block("yaml", "liveintent-health.yml").text
    job = yaml.safe_load(text)["jobs"]["health"]
    install, check, tell = job["steps"]
    assert install["run"].startswith("pip install ")
    assert tell["if"] == "failure()"
    shop.leave_runs(*BAD)
    shell = ("bash", "-e", "-c")  # As GitHub's runners.
    assert shop.run(*shell, check["run"]).returncode == 3
    summary = shop.folder / "summary.md"
    done = shop.run(*shell, tell["run"], GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 0, done.stderr
    assert MESSAGE in summary.read_text(encoding="utf-8")
    shop.heard("LiveIntent: the health check failed")


def test_github_takes_the_workflow(shop: Shop) -> None:
    """The workflow is one by GitHub's schema."""
    path = shop.folder / "liveintent-health.yml"
    path.write_text(block("yaml", "liveintent-health.yml").text, encoding="utf-8")
    if not (PROGRAMS / "check-jsonschema").exists():
        pytest.skip("check-jsonschema is not installed")
    command = [PROGRAMS / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", path]
    subprocess.run(command, check=True, capture_output=True)


def test_urls_of_services(shop: Shop) -> None:
    """Apprise understands the URLs of the table."""
    rows = re.findall(
        r"^\| \w+ \| `(\w+://[^`]+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(rows) == 4
    for url in rows:
        done = shop.run("apprise", "--dry-run", "-b", "text", url, APPRISE_URLS="")
        assert done.returncode == 0, (url, done.stdout + done.stderr)
