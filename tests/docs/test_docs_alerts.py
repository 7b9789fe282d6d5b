"""The commands of how-to/alerts.md that tell somebody, against a receiver on this machine."""

import json
import os
import re
import subprocess
import sys
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


def cron() -> list[str]:
    """Return what the line of the crontab runs, having checked that it is one."""
    setting, line = block("crontab").text.splitlines()
    assert setting.startswith("APPRISE_URLS=mailtos://")
    found = re.fullmatch(r"(?:[\d*/,-]+ ){5}(cd /srv/shop && .+)", line)
    assert found
    return ["sh", "-c", found[1]]


def kubernetes() -> list[str]:
    job = yaml.safe_load(block("yaml", "liveintent-health.yaml").text)
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return [*container["command"], *container["args"]]


def github() -> list[str]:
    job = yaml.safe_load(block("yaml", "liveintent-health.yml").text)["jobs"]["health"]
    _, check, tell = job["steps"]
    assert (check["run"], tell["if"]) == ("target-liveintent health --max-age 3", "failure()")
    return ["bash", "-e", "-c", tell["run"]]


def systemd() -> list[str]:
    template = (ROOT / "examples" / "systemd" / "liveintent-tell@.service").read_text("utf-8")
    (command,) = re.findall(r"^ExecStart=(.+)$", template, re.MULTILINE)
    return ["sh", "-c", command.replace("%i", "liveintent.service")]


def test_health(shop: Shop) -> None:
    """The first command, its exit codes, and what the page shows of a bad day."""
    for endings, code in ((GOOD, 0), (BAD, 3)):
        shop.leave_runs(*endings)
        done = shop.run("sh", "-c", block("sh").text)
        assert done.returncode == code
    assert done.stdout.startswith(block("text").text.partition("…")[0])


WHY = "The last 2 runs failed: the API denied access"
COMMANDS = [
    pytest.param(github, "the health check failed", 0, id="github"),
    *(
        pytest.param(*one, marks=pytest.mark.slow, id=one[0].__name__)
        for one in ((cron, WHY, 0), (kubernetes, WHY, 1), (systemd, "liveintent.service failed", 0))
    ),
]


@pytest.mark.parametrize(("command", "why", "code"), COMMANDS)
def test_who_is_told(shop: Shop, command: Callable[[], list[str]], why: str, code: int) -> None:
    """A bad day is told, in a text for people on call; of a good one, nobody is told."""
    summary = shop.folder / "summary.md"
    if why == WHY:
        shop.leave_runs(*GOOD)
        assert shop.run(*command()).returncode == 0
        assert shop.receiver.requests == []
    shop.leave_runs(*BAD)
    assert shop.run(*command(), GITHUB_STEP_SUMMARY=str(summary)).returncode == code
    (request,) = shop.receiver.requests
    alert = json.loads(request.body)
    assert alert["title"].startswith(f"LiveIntent: {why}")
    for text in (alert["message"], *([summary.read_text("utf-8")] if command is github else [])):
        lines = text.splitlines()
        assert len(lines) <= 12
        assert lines[0].startswith("LiveIntent refused the access key. ")
        assert "Account a-1b2c at 127.0.0.1, pixel " in lines[0]
        assert "the API denied access (HTTP 401). The token may have been rotated" in text
        assert re.search(r"Last run: [0-9a-f-]{36}, failed", text)


def test_urls_of_services() -> None:
    """Apprise understands the URLs of the table."""
    rows = re.findall(
        r"^\| \w+ \| `(\w+://[^`]+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(rows) == 4
    add = "import apprise, sys; sys.exit(not all(map(apprise.Apprise().add, sys.argv[1:])))"
    assert programs.run([sys.executable, "-W", "ignore", "-c", add, *rows]).returncode == 0
