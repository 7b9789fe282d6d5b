"""A Meltano project, and a PostgreSQL server of our own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MELTANO = ROOT / ".venv-meltano" / "bin" / "meltano"


class Project:
    """A copy of the repository's Meltano project, with its own state and installed plugins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        text = (ROOT / "meltano.yml").read_text(encoding="utf-8")
        assert "--editable ." in text
        text = text.replace("--constraint constraints.txt", f"--constraint {ROOT}/constraints.txt")
        text = text.replace("--editable .", f"--editable {ROOT}")
        (folder / "meltano.yml").write_text(text, encoding="utf-8")

    def run(self, *args: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run Meltano in the project; its exit code is for the test to judge."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MELTANO", "TAP_", "TARGET_", "VIRTUAL_ENV"))
        }
        environment |= {
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "0",
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "1",
            "NO_COLOR": "1",
            "NO_PROXY": "127.0.0.1",
            **settings,
        }
        return subprocess.run(
            [MELTANO, *args],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


class Postgres:
    """A PostgreSQL server of our own, on loopback, from installed programs."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        # PostgreSQL refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])

    def _call(self, program: str, *args: str) -> str:
        done = subprocess.run(
            [self._programs / program, *args],
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def start(self) -> None:
        """Make a cluster and start it."""
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        data = str(self._folder / "data")
        self._call("initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C")
        options = f"-p {self.port} -h 127.0.0.1 -k {self._folder} -F"
        log = str(self._folder / "log")
        subprocess.run(
            [self._programs / "pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start"],
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )

    def stop(self) -> None:
        """Stop it; nothing is kept."""
        self._call("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "stop")

    def sql(self, text: str) -> str:
        """Run SQL as its owner."""
        return self._call(
            "psql", "-h", "127.0.0.1", "-p", self.port, "-U", "tester", "-d", "postgres",
            "-v", "ON_ERROR_STOP=1", "-qtAc", text,
        )  # fmt: skip
