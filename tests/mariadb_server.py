"""A MariaDB server of our own, on loopback, from installed programs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "made-up"
_PLACES = f"{os.environ['PATH']}:/usr/sbin"  # Where Debian has the server, for its own users only.
_PROGRAMS = ("mariadbd", "mariadb-install-db", "mariadb")


def is_installed() -> bool:
    return all(shutil.which(program, path=_PLACES) for program in _PROGRAMS)


class MariaDB:
    """A server whose binary log has whole rows, as taps ask for; the user is `tester`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._user = ["--user=root"] if os.geteuid() == 0 else []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])

    def start(self) -> None:
        """Make a data folder, and start the server on it."""
        data = f"--datadir={self._folder / 'data'}"
        self._call(
            "mariadb-install-db",
            *("--no-defaults", data, *self._user, "--skip-test-db"),
            "--auth-root-authentication-method=normal",
        )
        program = shutil.which("mariadbd", path=_PLACES)
        assert program is not None
        self._server = subprocess.Popen(
            [
                *(program, "--no-defaults", data, *self._user, "--bind-address=127.0.0.1"),
                *(f"--port={self.port}", f"--socket={self._folder / 'socket'}"),
                *("--server-id=1", "--log-bin=binary", "--binlog-format=ROW"),
                *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M"),
            ],
            cwd=self._folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._server.stderr is not None
        said = []
        for line in self._server.stderr:
            said.append(line)
            if "ready for connections" in line:
                break
        else:
            raise AssertionError("".join(said))
        self.sql(
            f"CREATE USER tester IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO tester;"
            " CREATE DATABASE shop"
        )

    def stop(self) -> None:
        """Stop it; nothing is kept."""
        self._server.kill()
        self._server.communicate(timeout=60)

    def sql(self, text: str) -> str:
        """Run SQL as the server's owner, in the database `shop` where there is one."""
        socket_of = f"--socket={self._folder / 'socket'}"
        return self._call("mariadb", "--no-defaults", socket_of, "--user=root", "-e", text)

    def _call(self, program: str, *args: str) -> str:
        path = shutil.which(program, path=_PLACES)
        assert path is not None
        done = subprocess.run(
            [path, *args],
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout
