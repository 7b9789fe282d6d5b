"""A folder in which a run cannot write dead letters: it says so before it sends anything."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from integration_support import LETTERS, OPTIONS, lines, order, schema, state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from faulty_server import FaultyServer
    from integration_support import Launcher

_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Make a folder that cannot be written."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o500)
    yield folder
    folder.chmod(0o700)


def obey_permissions() -> None:
    """Take from root the right to write everywhere; others do not have it."""
    if os.geteuid() == 0:
        assert ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0) == 0


def run_in(folder: Path, target: Launcher, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run over an event and a bad record, in a folder."""
    config = target.config(metrics_path=..., **settings)
    done = subprocess.run(
        [sys.executable, *OPTIONS, "-m", "target_liveintent", "--config", str(config)],
        cwd=folder,
        env=target.env,
        input=lines([schema(), order(1), state(1), order(2, event_time="never"), state(2)]),
        capture_output=True,
        timeout=30,
        check=False,
        preexec_fn=obey_permissions,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def test_the_default_path(to_server: Launcher, server: FaultyServer, read_only: Path) -> None:
    """The message names the default, with its folder; no file is made, and nothing is sent."""
    done = run_in(read_only, to_server)
    assert (done.returncode, done.stdout, server.requests) == (2, "", [])
    assert (
        f"setting 'dead_letter_path' is not set, and its default, '{read_only / LETTERS}', cannot"
        " be written: set dead_letter_path to a file in a folder that the run can write to"
    ) in done.stderr.splitlines()[-1]
    writable = read_only.parent / "letters"
    done = run_in(read_only, to_server, dead_letter_path=str(writable), ledger=False)
    assert (done.returncode, writable.exists()) == (0, True)
