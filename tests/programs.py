"""A function that runs a program until it ends."""

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
    """Run a program without input, and return its output and exit code, whatever the code is.

    Args:
        command: The program and its arguments.
        folder: The working folder; None means the current folder.
        env: The environment; None means the current environment.
        timeout: The maximum time in seconds.
        together: Whether standard error goes to the same output as standard output.
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
