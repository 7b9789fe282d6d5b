"""Ctrl-C before a run begins."""

import subprocess
import sys

import pytest

INTERRUPTED = """
import os, signal, sys

module = sys.argv.pop(1)

class Interrupter:
    def find_spec(self, name, *_):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupter())
from target_liveintent.start import start
start()
"""
"""Imports the program, and gets SIGINT when it begins to import a module."""


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends a process on Windows")
@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        pytest.param("click", [], id="as the command line is imported"),
        pytest.param("singer_sdk", [], id="as the SDK is imported"),
        pytest.param("target_liveintent.store.run_store", [], id="as the store is imported"),
        pytest.param("target_liveintent.singer.explaining", ["explain"], id="in a command"),
    ],
)
def test_ctrl_c_ends_the_program_in_one_line(module: str, arguments: list[str]) -> None:
    """From the moment the program is loaded on: no traceback, and the exit code of the signal."""
    command = [sys.executable, "-c", INTERRUPTED, module, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, input="")
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        130,
        "",
        "target-liveintent was stopped by SIGINT (Ctrl-C) before a run began\n",
    )
