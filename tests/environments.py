"""Virtual environments of programs that single tests need."""

import shutil
import subprocess
import sys
from pathlib import Path

import programs
import pytest

_FOLDER = Path(__file__).parents[1] / "build" / "environments"


def environment_with(name: str, *requirements: str) -> Path:
    """Return the folder of programs of a virtual environment with these requirements.

    The environment stays in `build` for later runs. If the requirements cannot be installed, the
    test is skipped.
    """
    folder = _FOLDER / name
    made_from = folder / "made-from"
    wanted = f"{sys.version} {' '.join(requirements)}"
    if not made_from.exists() or made_from.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
        pip = (str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check")
        done = programs.run([*pip, *requirements], timeout=1200)
        if done.returncode != 0:
            pytest.skip(f"{', '.join(requirements)} cannot be installed: {done.stderr[-500:]}")
        made_from.write_text(wanted, encoding="utf-8")
    return folder / "bin"
