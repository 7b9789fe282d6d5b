"""A PostgreSQL server for tests, from the programs that are installed on this machine."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

GUARDED = "guarded_user"
"""The only user who needs a password; a test that needs this user creates it."""


class Postgres:
    """A PostgreSQL server on loopback with a new data folder."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs = programs
        self._folder = folder
        # PostgreSQL refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        self.port = str(_free_port())

    def _call(self, program: str, *args: str) -> str:
        done = subprocess.run(
            [self.programs / program, *args],
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
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        data = str(self._folder / "data")
        self._call("initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C")
        access = self._folder / "data" / "pg_hba.conf"
        asked = f"host all {GUARDED} 127.0.0.1/32 scram-sha-256\n"
        access.write_text(asked + access.read_text(encoding="utf-8"), encoding="utf-8")
        # A log in which a tap can read changes. A crash loses what no commit has made durable.
        self._options = (
            f"-p {self.port} -h 127.0.0.1 -k {self._folder} -F"
            " -c wal_level=logical -c wal_writer_delay=10s"
        )
        if self._has_setting(data, "output_plugin_libraries"):  # Recent minor releases only.
            self._options += " -c output_plugin_libraries=wal2json"
        self._start()

    def _start(self) -> None:
        data, log = str(self._folder / "data"), str(self._folder / "log")
        subprocess.run(
            [self.programs / "pg_ctl", "-D", data, "-w", "-l", log, "-o", self._options, "start"],
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the server during a `with` block; committed data is kept."""
        self._call("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", "fast", "stop")
        try:
            yield
        finally:
            self._start()

    def crash(self, meanwhile: Callable[[Path], object] = lambda _: None) -> None:
        """Crash the server, call `meanwhile` with its data folder, and start the server again."""
        self.stop()
        meanwhile(self._folder / "data")
        self._start()

    def _has_setting(self, data: str, name: str) -> bool:
        command: list[str | Path] = [self.programs / "postgres", "-D", data, "-C", name]
        done = subprocess.run(
            command, user=self._user, cwd=self._folder, capture_output=True, timeout=60, check=False
        )
        return done.returncode == 0

    def stop(self) -> None:
        """Stop the server at once, as in a crash."""
        self._call("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", "immediate", "stop")

    def sql(self, text: str) -> str:
        """Run SQL as the owner of the server, and return the output of psql."""
        return self._call(
            "psql", "-h", "127.0.0.1", "-p", self.port, "-U", "tester", "-d", "postgres",
            "-v", "ON_ERROR_STOP=1", "-qtAc", text,
        )  # fmt: skip

    def url(self, schema: str = "public") -> str:
        """Return the URL of the database, with a schema in which tables are found and created."""
        options = f"options=-csearch_path%3D{schema}"
        return f"postgresql://tester:s3cret-of-postgres@127.0.0.1:{self.port}/postgres?{options}"


def _free_port() -> int:
    """Return a free port that the system does not give to other programs during a restart."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    msg = "no port is free"
    raise OSError(msg)


def _how_able(initdb: Path) -> tuple[bool, str]:
    """Return a key that sorts servers with the plugin wal2json last, and newer servers last."""
    return wal2json(initdb.parent).exists(), initdb.parts[-3]


def wal2json(programs: Path) -> Path:
    """Return the path of the plugin through which a tap reads the server's log."""
    return programs.parent / "lib" / "wal2json.so"


def initdb() -> str | None:
    """Return the path of the program initdb, or None if PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_how_able)
    return str(found[-1]) if found else shutil.which("initdb")


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    program = initdb()
    assert program is not None
    # Not below pytest's own folder, which only its owner can enter.
    folder = Path(tempfile.mkdtemp(prefix="target-liveintent-"))
    server = Postgres(Path(program).parent, folder)
    try:
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
