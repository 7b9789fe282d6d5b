"""The documentation's code blocks, and a project to run them in."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import programs
from meltano_support import MELTANO, ROOT, environment, project_of, replaying_tap
from preset_records import Sample, sample

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = ROOT / "docs"
PROGRAMS = Path(sys.executable).parent
SANDBOX_URL = "http://127.0.0.1:8086"
"""Where the pages have the sandbox; in tests, it takes a free port."""
PIXEL = 12345

ELSEWHERE = {"performance.md": "benchmarks", "spark.md": "tests/spark"}
"""Pages whose commands others run."""


@contextlib.contextmanager
def shop_project(folder: Path, api_url: str) -> Iterator[Project]:
    """A project, as the quickstart leaves it, in a new folder."""
    folder.mkdir()
    project = Project(folder, api_url)
    yield project
    project.close()


def pages() -> list[Path]:
    found = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    return [page for page in found if page.name not in ELSEWHERE]


class Block(NamedTuple):
    """A fenced block, without its indentation; the title is the file that it is.

    The excuse says why it cannot run here, from the comment before it.
    """

    kind: str
    title: str | None
    text: str
    excuse: str | None
    line: int


_BLOCK = re.compile(
    r"(?:^ *<!-- (?:not run: |(?=run by ))(?P<excuse>[^\n]*) -->\n"
    r"(?:<!-- \[\[\[cog\n(?:[^\n]*\n){1,5}?\]\]\] -->\n)?)?"
    r"^(?P<indent> *)```(?P<kind>[a-z]*)(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        indent = len(match["indent"])
        inner = "".join(line[indent:] or "\n" for line in match["text"].splitlines(keepends=True))
        line = text[: match.start("kind")].count("\n") + 1
        found.append(Block(match["kind"], match["title"], inner, match["excuse"], line))
    return found


# A project


def _shop(now: float) -> list[Sample]:
    """Orders of a shop: three to send, a guest's, one that is not paid, one that is too old."""
    good = sample("shopify", now)

    def order(number: int, **changes: Any) -> Sample:
        own: dict[str, Any] = {"id": f"gid://shopify/Order/{number}", "name": f"#{number}"}
        own |= {"legacyResourceId": number, "email": f"buyer{number}@example.com"}
        return good._replace(record={**good.record, **own, **changes})

    guest = {"email": None, "customer": None, "customerJourneySummary": None}
    old = {"processedAt": "2020-01-01T00:00:00Z", "createdAt": "2020-01-01T00:00:00Z"}
    return [
        order(1001),
        order(1002),
        order(1003),
        order(1004, **guest),
        order(1005, displayFinancialStatus="PENDING"),
        order(1006, **old),
    ]


class Project:
    """A folder with what a page takes for granted; its sandbox takes the place of the page's.

    It has a tap that replays a shop's orders, the settings of the quickstart for Meltano
    (`meltano.yml`, `.env`) and without it (`liveintent.json`, `shopify.json`, `catalog.json`).
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self._sandboxes: list[subprocess.Popen[str]] = []
        self._programs = folder / ".programs"
        self._programs.mkdir()
        self._make_tap()
        self._make_pip()
        self._make_meltano_project()
        self.write("liveintent.json", json.dumps({**self.account, **SETTINGS}))
        self.write("shopify.json", "{}")

    @property
    def account(self) -> dict[str, Any]:
        return {
            "customer_id": "a-1b2c",
            "auth_token": "sandbox-token",
            "pixel_id": PIXEL,
            "api_url": self.url,
        }

    def write(self, name: str, text: str) -> None:
        """Write a file of the project, with the address of this test's sandbox."""
        (self.folder / name).write_text(text.replace(SANDBOX_URL, self.url), encoding="utf-8")

    def _program(self, name: str, text: str) -> Path:
        path = self._programs / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def _make_tap(self) -> None:
        tap = replaying_tap(self._programs, _shop(time.time()), "tap-shopify")
        catalog = json.loads(programs.run([tap, "--config", "-", "--discover"]).stdout)
        for entry in catalog["streams"][0]["metadata"]:
            entry["metadata"]["selected"] = True
        self.write("catalog.json", json.dumps(catalog))

    def _make_pip(self) -> None:
        """A pip that fails if what it is to install is not what is installed and tested here."""
        pip = '-m pip --disable-pip-version-check "$@" --no-index --dry-run'
        python = MELTANO.with_name("python")
        self._program(
            "pip",
            f"#!/bin/sh\nset -e\n"
            f'case "$*" in *meltano*) exec {python} {pip};; esac\n'
            f'said=$({sys.executable} {pip} 2>&1) || {{ echo "$said" >&2; exit 1; }}\n'
            f'case "$said" in *"does not provide the extra"*) echo "$said" >&2; exit 1;; esac\n',
        )

    def _make_meltano_project(self) -> None:
        tap = {
            "name": "tap-shopify",
            "executable": str(self._programs / "tap-shopify"),
            "capabilities": ["catalog", "discover", "state"],
            "settings": [
                {"name": "shop"},
                {"name": "access_token", "sensitive": True},
                {"name": "start_date"},
            ],
            "select": ["orders.*"],
        }
        project_of(self.folder, tap, **SETTINGS)
        prefix = "TARGET_LIVEINTENT_"
        lines = [f"{prefix}{name.upper()}={value}\n" for name, value in self.account.items()]
        self.write(".env", "".join(lines))

    # Running

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run lines for the shell, as a page has them; output and errors come together."""
        if command.startswith("liveintent-sandbox"):
            return self._start_sandbox(command)
        script = command.replace(SANDBOX_URL, self.url)
        if "meltano" in script and not (self.folder / ".meltano" / "meltano.db").exists():
            # As `meltano init` does. Otherwise, two programs of a pipe may make the same tables.
            script = f"meltano state list > /dev/null 2>&1\n{script}"
        # Its programs come first, before those of this machine.
        places = (self._programs, PROGRAMS, MELTANO.parent, os.environ["PATH"])
        env = environment(PATH=":".join(map(str, places)))
        bash = ("bash", "-euo", "pipefail", "-c", script)
        return programs.run(bash, self.folder, env, timeout=120, together=True)

    def _start_sandbox(self, command: str) -> subprocess.CompletedProcess[str]:
        """Leave a sandbox running, on a free port, as in a terminal of its own."""
        options = command.strip().removesuffix("&").split()[1:]
        sandbox = subprocess.Popen(
            [PROGRAMS / "liveintent-sandbox", *options, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._sandboxes.append(sandbox)
        assert sandbox.stdout is not None
        said = sandbox.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found, said + sandbox.stdout.read()
        old, self.url = self.url, found[0]
        for path in (self.folder / ".env", self.folder / "liveintent.json"):
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(old, self.url), encoding="utf-8")
        return subprocess.CompletedProcess(command, 0, said.replace(self.url, SANDBOX_URL))

    def close(self) -> None:
        for sandbox in self._sandboxes:
            sandbox.send_signal(signal.SIGINT)
            assert sandbox.wait(10) == 0
            assert sandbox.stdout is not None
            sandbox.stdout.close()


SETTINGS: dict[str, Any] = {
    "presets": {"orders": "shopify"},
    "stream_maps": {"__else__": "__NULL__"},
}
"""What the quickstart sets."""


def unseen(expected: str, output: str) -> list[str]:
    """The lines of a block of output that no line of the real output is like; `…` is any text."""
    there = [_bare(line) for line in output.splitlines()]
    return [
        line
        for line in expected.splitlines()
        if line.strip() and not fnmatch.filter(there, _pattern(_bare(line)))
    ]


def _bare(line: str) -> str:
    return " ".join(line.split())


def _pattern(line: str) -> str:
    return "*" + re.sub(r"([\[*?])", r"[\1]", line).replace("…", "*") + "*"
