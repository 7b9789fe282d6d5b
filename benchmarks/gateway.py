"""Runs an API as in production: nginx with TLS and limits, and an API behind it.

nginx refuses what comes too fast; its configuration is nginx.conf, beside this file. Behind it is
the project's sandbox, or the benchmarks' own API where the time of an answer matters.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from benchmarks.certificates import make_certificate
from benchmarks.processes import ENVIRONMENT, ROOT, Api, FailedRunError, ending
from benchmarks.tally import MAX_EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from benchmarks.tally import Tally

_TEMPLATE = Path(__file__).with_name("nginx.conf")
_PLACEHOLDER = re.compile(r"<(\w+)>")
_START_SECONDS = 20.0
"""Seconds within which a server must have started."""
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
"""Where to look for nginx: not every user's PATH has the folders for servers."""


class Limit(NamedTuple):
    """What nginx refuses.

    Attributes:
        rate: Requests that it lets through, as nginx writes it: `5r/s`.
        burst: How many of them may come at once.
        connections: Most requests at the same time, in place of a rate; 0 for any number.
        status: The status of a refusal.
        retry_after: Seconds for the header `Retry-After` of a refusal; empty for no header.
    """

    rate: str = ""
    burst: int = 1
    connections: int = 0
    status: int = 429
    retry_after: str = ""

    @property
    def directive(self) -> str:
        """The directive that limits requests, or nothing."""
        if self.connections:
            return f"limit_conn connections {self.connections};"
        if not self.rate:
            return ""
        # nginx's `burst` counts the requests that may come in addition to the first one.
        burst = f" burst={self.burst - 1} nodelay" if self.burst > 1 else ""
        return f"limit_req zone=requests{burst};"


class Line(NamedTuple):
    """An answer, from nginx's log.

    Attributes:
        started_at: When the request began to arrive, as a Unix time.
        seconds: How long it took until the answer was sent.
        status: The status of the answer.
    """

    started_at: float
    seconds: float
    status: int


class Behind(Protocol):
    """An API behind nginx, which runs while the context lasts."""

    url: str

    def __enter__(self) -> Self:
        """Start it."""

    def __exit__(self, *_: object) -> None:
        """End it."""

    def arrived(self) -> tuple[int, bool]:
        """Return how many events were accepted, and whether each of them was the only one."""


class Sandbox:
    """The project's sandbox, as its own process.

    Attributes:
        url: Its address.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start the sandbox."""
        command = [sys.executable, "-m", "target_liveintent.sandbox", "--port", "0"]
        command += ["--auth-token", "benchmark-token"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT)
        self._stack.enter_context(ending(child))
        assert child.stdout is not None  # noqa: S101 (for the type checker)
        line = child.stdout.readline().decode()
        if not (found := re.search(r"http://[\d.:]+", line)):
            self._stack.close()
            msg = f"the sandbox did not start: {line}"
            raise FailedRunError(msg)
        self.url = found[0]
        return self

    def __exit__(self, *_: object) -> None:
        """End the sandbox."""
        self._stack.close()

    def arrived(self) -> tuple[int, bool]:
        """Return how many events were accepted, and whether each of them was the only one."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/stats", timeout=10) as answer:
            stats = msgspec.json.decode(answer.read())
        alone = stats["duplicates"] == 0 and stats["largest_batch"] <= MAX_EVENTS
        return stats["accepted"], alone


class TallyingApi(Api):
    """The benchmarks' API, which compares what arrived with what must arrive.

    Args:
        latency: As in `Api`.
        workers: As in `Api`.
        expected: The tally of the floor's events.
    """

    def __init__(self, latency: float, workers: int, expected: Tally) -> None:
        """Start nothing yet."""
        super().__init__(latency, workers)
        self._expected = expected

    def arrived(self) -> tuple[int, bool]:
        """Return how many events were accepted, and whether they are those that must arrive."""
        tally = self.take()
        return tally.events, tally.problem(self._expected.events, self._expected) is None


class Gateway:
    """nginx in front of an API, while the context lasts.

    Args:
        folder: An empty folder, for its files.
        limit: What it refuses.
        api: The address of the API.

    Attributes:
        url: Its address.
        certificate: The file with its certificate, which a client has to trust.
    """

    def __init__(self, folder: Path, limit: Limit, api: str) -> None:
        """Write the configuration and make the certificate."""
        self._folder = folder
        self.certificate = folder / "certificate.pem"
        make_certificate(program("openssl"), self.certificate, self._folder / "key.pem")
        port = _free_port()
        self.url = f"https://127.0.0.1:{port}"
        self._port = port
        values = {
            "folder": str(folder),
            "port": str(port),
            "api": api,
            "rate": limit.rate or "1r/s",
            "limit": limit.directive,
            "status": str(limit.status),
            "retry_after": limit.retry_after,
        }
        text = _TEMPLATE.read_text(encoding="utf-8")
        text = _PLACEHOLDER.sub(lambda found: values[found[1]], text)
        (folder / "nginx.conf").write_text(text, encoding="utf-8")

    def __enter__(self) -> Self:
        """Start nginx."""
        errors = self._folder / "error.log"
        command = [program("nginx"), "-e", str(errors), "-c", str(self._folder / "nginx.conf")]
        self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        began = time.monotonic()
        while not self._listens():
            if self._child.poll() is not None or time.monotonic() - began > _START_SECONDS:
                self.close()
                msg = f"nginx did not start: {errors.read_text(encoding='utf-8')}"
                raise FailedRunError(msg)
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        """End nginx."""
        self.close()

    def close(self) -> None:
        """End nginx, so that its log is complete."""
        if self._child.returncode is None:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(10)
        if self._child.returncode is None:
            self._child.kill()
            self._child.wait()

    def answers(self) -> list[Line]:
        """Return its answers, in the order of their requests."""
        lines = []
        for line in (self._folder / "access.log").read_text(encoding="utf-8").splitlines():
            ended_at, seconds, status = line.split()
            lines.append(Line(float(ended_at) - float(seconds), float(seconds), int(status)))
        return sorted(lines)

    def copy_log(self, path: Path) -> None:
        """Copy its log, a line for each answer: when it was sent, its seconds, and its status."""
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._folder / "access.log", path)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
            return True
        return False


def check_programs() -> None:
    """Raise an error if a program is missing that the benchmark needs.

    Raises:
        FailedRunError: It names the program.
    """
    for name in ("nginx", "openssl"):
        program(name)


def environment(code: Path, certificate: Path) -> Mapping[str, str]:
    """Return the environment of a target.

    Args:
        code: The checkout whose code runs.
        certificate: What it trusts.
    """
    return ENVIRONMENT | {"PYTHONPATH": str(code), "REQUESTS_CA_BUNDLE": str(certificate)}


def check_code(code: Path) -> None:
    """Raise an error if a Python with this checkout in PYTHONPATH imports another one.

    Raises:
        FailedRunError: It names the checkout.
    """
    command = [sys.executable, "-c", "import target_liveintent as it; print(it.__file__)"]
    env = ENVIRONMENT | {"PYTHONPATH": str(code)}
    done = subprocess.run(command, env=env, cwd=ROOT.anchor, capture_output=True, check=False)
    if not Path(done.stdout.decode().strip()).is_relative_to(code):
        msg = f"{code} is no checkout of this project"
        raise FailedRunError(msg)


def program(name: str) -> str:
    """Return where a program is.

    Raises:
        FailedRunError: If it is not installed; it names the program.
    """
    found = shutil.which(name, path=_PATH)
    if found is None:
        msg = f"{name} is not installed; this benchmark needs it"
        raise FailedRunError(msg)
    return found


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
