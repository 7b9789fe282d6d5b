"""Programs that tests run to their end."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def run(
    command: Sequence[str | Path],
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
    *,
    timeout: float = 300,
    together: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a program that gets no input; its exit code is for the test to judge.

    If they come together, errors are in the output.
    """
    return subprocess.run(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if together else subprocess.PIPE,
        text=True,
        timeout=timeout,
        check=False,
    )
