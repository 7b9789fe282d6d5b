"""The command line `liveintent-sandbox`, run as a program."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import requests

    from target_liveintent.sandbox import Sandbox

START = "from target_liveintent.sandbox.cli import main; main()"
BLOCK = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def command(arguments: Sequence[str], code: str | None = None) -> dict[str, Any]:
    program = ["-c", code] if code else ["-m", "target_liveintent.sandbox"]
    return {
        "args": [sys.executable, "-W", "error", *program, *arguments],
        "env": {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        "text": True,
    }


def run(*arguments: str, code: str | None = None) -> tuple[int, str, str]:
    options = command(arguments, code)
    done = subprocess.run(**options, capture_output=True, timeout=20, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals between processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_a_signal(http: requests.Session, number: signal.Signals) -> None:
    """It prints one line with its address, serves there, and ends with 0 at a signal."""
    options = command(["--port", "0", "--customer-id", "b-0000", "--auth-token", "t0"])
    with subprocess.Popen(**options, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(
            r"Sandbox of the LiveIntent Conversions API on (http://127\.0\.0\.1:\d+) "
            r"\(customer b-0000, token t0\)\. Page: \1/\n",
            line,
        )
        assert found, line
        assert http.get(f"{found[1]}/stats", timeout=5).json()["requests"] == 0
        process.send_signal(number)
        rest, errors = process.communicate(timeout=5)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_refuses_to_start(sandbox: Sandbox) -> None:
    """An option that does not work ends the program with an error that says why."""
    port = str(urlsplit(sandbox.url).port)
    for arguments, code, message in (
        (["--customer-id", "x"], 1, "Error: customer ID 'x' does not match "),
        (["--port", port], 1, f"Error: The sandbox cannot listen on port {port}: "),
        (["--port", "65536"], 2, "Invalid value for '--port'"),
    ):
        found, output, errors = run(*arguments)
        assert (found, output) == (code, "")
        assert message in errors


@pytest.mark.parametrize("name", ["jinja2", "starlette", "uvicorn"])
def test_without_the_extra(name: str) -> None:
    """Without the extra's packages, the program says how to install them."""
    code, output, errors = run(code=BLOCK.format(name=name) + START)
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert "pip install 'target-liveintent[sandbox]'" in errors
