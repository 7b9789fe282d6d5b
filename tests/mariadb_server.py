"""A MariaDB server for tests, from the programs that are installed on this machine."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

USER, PASSWORD = "tester", "s3cret-of-mariadb"
"""The user of the server, and the password that this user needs over TCP."""
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"


def mariadbd() -> str | None:
    """Return the path of the server's program, or None if MariaDB is not installed."""
    return shutil.which("mariadbd", path=_PATH)


class MariaDB:
    """A MariaDB server on loopback with a new data folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "socket"
        # MariaDB refuses to run as root.
        self._user = "mysql" if os.geteuid() == 0 else None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run the server during a `with` block."""
        data = f"--datadir={self._folder / 'data'}"
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._call(
            "mariadb-install-db", "--no-defaults", data, "--auth-root-authentication-method=normal"
        )
        program = mariadbd()
        assert program is not None
        where = [f"--port={self.port}", f"--socket={self._socket}", "--bind-address=127.0.0.1"]
        with (self._folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [program, "--no-defaults", data, *where], user=self._user, stdout=log, stderr=log
            )
            try:
                self._call("mariadb-admin", *self._owner, "--wait=50", "ping")
                self.sql(
                    f"CREATE USER {USER}@localhost IDENTIFIED BY '{PASSWORD}';"
                    f"GRANT ALL ON *.* TO {USER}@localhost; CREATE DATABASE shop"
                )
                yield
            finally:
                server.terminate()
                server.wait(60)

    @property
    def _owner(self) -> list[str]:
        return ["--no-defaults", "--user=root", f"--socket={self._socket}"]

    def sql(self, text: str, database: str = "mysql") -> None:
        """Run SQL as the owner of the server."""
        self._call("mariadb", *self._owner, "--execute", text, database)

    def _call(self, program: str, *args: str) -> None:
        done = subprocess.run(
            [program, *args],
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@contextlib.contextmanager
def mariadb_running() -> Iterator[MariaDB]:
    """Yield a server that runs during a `with` block."""
    # Not below pytest's own folder, which only its owner can enter.
    folder = Path(tempfile.mkdtemp(prefix="target-liveintent-"))
    try:
        server = MariaDB(folder)
        with server.running():
            yield server
    finally:
        shutil.rmtree(folder)
