"""The commands of how-to/alerts.md that tell somebody, against a receiver on this machine."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import programs
import pytest
import yaml
from docs_support import DOCS, PROGRAMS, ROOT, Block, blocks
from faulty_server import FaultyServer, Reply
from integration_support import Launcher, order, schema

PAGE = DOCS / "how-to" / "alerts.md"
EXCUSE = "run by tests/docs/test_docs_alerts.py"
MESSAGE = "the API denied access (HTTP 401). The token may have been rotated"
GOOD, BAD = ("done",), ("done", "failed", "failed")
"""How the last runs ended."""


def block(kind: str, title: str | None = None) -> Block:
    """Return the block of a kind and title that this module runs."""
    (found,) = (
        one for one in blocks(PAGE) if (one.kind, one.title, one.excuse) == (kind, title, EXCUSE)
    )
    return found


class Shop(NamedTuple):
    """A folder as the page has it in /srv/shop, and the server to which apprise posts."""

    target: Launcher
    receiver: FaultyServer

    @property
    def folder(self) -> Path:
        return self.target.folder

    @property
    def account(self) -> dict[str, Any]:
        return {"customer_id": "a-1b2c", "pixel_id": 12345, "api_url": self.target.api_url}

    def leave_runs(self, *endings: str) -> None:
        """Leave a run for each ending in a new store."""
        self.target.store.unlink(missing_ok=True)
        for number, ending in enumerate(endings):
            wrong = {"auth_token": "wr0ng-token"} if ending == "failed" else {}
            run = self.target.run(schema(), order(number), **wrong)
            assert run.code == (ending == "failed"), run.log

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        given = self.account.items()
        settings = {f"TARGET_LIVEINTENT_{name}".upper(): str(value) for name, value in given}
        here = [text.replace("/srv/shop", str(self.folder)) for text in command]
        own = {
            "PATH": f"{self.folder / '.venv' / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "HOME": str(self.folder),
            "APPRISE_URLS": f"json://127.0.0.1:{self.receiver.port}/",
        }
        return programs.run(here, self.folder, {**settings, **own, **env}, timeout=120)

    def heard(self) -> tuple[str, str]:
        """Return the title and the text of the only alert."""
        (request,) = self.receiver.requests
        self.receiver.requests.clear()
        alert = json.loads(request.body)
        return alert["title"], alert["message"]


def assert_says_why(text: str) -> None:
    """See that a text is for people on call."""
    lines = text.splitlines()
    assert len(lines) <= 12
    account = "LiveIntent refused the access key. Account a-1b2c at 127.0.0.1"
    assert lines[0].startswith(account)
    assert MESSAGE in text
    assert re.search(r"Last run: [0-9a-f-]{36}, failed", text)


@pytest.fixture
def shop(target: Launcher) -> Iterator[Shop]:
    tmp_path = target.folder
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("target-liveintent", "apprise"):
        (programs / name).symlink_to(PROGRAMS / name)
    (tmp_path / "tell").write_text(block("sh", "tell").text, encoding="utf-8")
    (tmp_path / "tell").chmod(0o755)
    with FaultyServer(lambda _: Reply(200)) as receiver:
        shop = Shop(target, receiver)
        (tmp_path / "liveintent.json").write_text(json.dumps(shop.account), encoding="utf-8")
        yield shop


def cron_command() -> list[str]:
    """Return what the line of the crontab runs, having checked that it is one."""
    setting, line = block("crontab").text.splitlines()
    assert setting.startswith("APPRISE_URLS=mailtos://")
    found = re.fullmatch(r"(?:[\d*/,-]+ ){5}(cd /srv/shop && .+)", line)
    assert found
    return ["sh", "-c", found[1]]


def kubernetes_command() -> list[str]:
    job = yaml.safe_load(block("yaml", "liveintent-health.yaml").text)
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return [*container["command"], *container["args"]]


def test_health(shop: Shop) -> None:
    """The first command, what the page shows of a bad day, and the exit code of a probe."""
    probe = yaml.safe_load(block("yaml", "probe.yaml").text)["readinessProbe"]
    assert probe["timeoutSeconds"] >= 30
    for endings, code in ((GOOD, 0), (BAD, 3)):
        shop.leave_runs(*endings)
        done = shop.run("sh", "-c", block("sh").text)
        assert done.returncode == shop.run(*probe["exec"]["command"]).returncode == code
    assert done.stdout.startswith(block("text").text.partition("…")[0])


@pytest.mark.slow
@pytest.mark.parametrize(("command", "code"), [(cron_command, 0), (kubernetes_command, 1)])
def test_a_job_that_tells(shop: Shop, command: Callable[[], list[str]], code: int) -> None:
    """Nobody is told while all is usual. A bad day is told, and so is a check that cannot check."""
    shop.leave_runs(*GOOD)
    assert shop.run(*command()).returncode == 0
    assert shop.receiver.requests == []
    shop.leave_runs(*BAD)
    assert shop.run(*command()).returncode == code
    title, text = shop.heard()
    assert title.startswith("LiveIntent: The last 2 runs failed: the API denied access")
    assert_says_why(text)
    wrong = {**shop.account, "timezone": "Mars/Olympus"}
    (shop.folder / "liveintent.json").write_text(json.dumps(wrong), encoding="utf-8")
    shop.run(*command(), TARGET_LIVEINTENT_TIMEZONE="Mars/Olympus")
    title, text = shop.heard()
    assert title == "LiveIntent: the health check failed"
    assert "timezone" in text


@pytest.mark.slow
def test_systemd(shop: Shop) -> None:
    """The unit that tells, when the run or the health check has failed."""
    shop.leave_runs(*BAD)
    template = (ROOT / "examples" / "systemd" / "liveintent-tell@.service").read_text("utf-8")
    (command,) = re.findall(r"^ExecStart=(.+)$", template, re.MULTILINE)
    done = shop.run("sh", "-c", command.replace("%i", "liveintent.service"))
    assert done.returncode == 0, done.stderr
    title, text = shop.heard()
    assert title == "LiveIntent: liveintent.service failed"
    assert_says_why(text)


def test_github_actions(shop: Shop) -> None:
    """The step fails, and the one after a failure writes the summary and tells."""
    job = yaml.safe_load(block("yaml", "liveintent-health.yml").text)["jobs"]["health"]
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
    title, text = shop.heard()
    assert title == "LiveIntent: the health check failed"
    assert_says_why(text)


def test_urls_of_services(shop: Shop) -> None:
    """Apprise understands the URLs of the table."""
    rows = re.findall(
        r"^\| \w+ \| `(\w+://[^`]+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(rows) == 4
    for url in rows:
        done = shop.run("apprise", "--dry-run", "-b", "text", url, APPRISE_URLS="")
        assert done.returncode == 0, (url, done.stdout + done.stderr)
