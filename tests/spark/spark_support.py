"""Spark as processes of its own: an application, a standalone cluster, and what to send."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from faulty_server import FaultyServer, Reply, Request
from integration_support import wait_until

from target_liveintent.privacy.identity import derive_event_id

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-spark" / "bin" / "python"
TOKEN = "sandbox-token"
NOW = int(time.time())
MIXED = "CASE WHEN id % 10 = 7 THEN NULL ELSE concat('buyer', id, '@example.com') END"
"""Addresses of orders, of which one in ten has none."""


def options(url: str, outcomes: Path, **more: Any) -> dict[str, Any]:
    """The options of a write; None leaves one out."""
    given = {
        "customer_id": "a-1b2c",
        "auth_token": TOKEN,
        "pixel_id": 12345,
        "api_url": url,
        "default_source": "web",
        "stream_name": "orders",
        "key_properties": "id",
        "concurrent_tasks": 2,
        "outcomes_path": str(outcomes),
        **more,
    }
    return {name: value for name, value in given.items() if value is not None}


def query(
    rows: int,
    partitions: int = 4,
    *,
    time: str = f"timestamp_seconds({NOW - 3600} + id % 1000)",
    email: str = "concat('buyer', id, '@example.com')",
    more: str = "",
) -> str:
    """A query of that many orders; `time` and `email` are other expressions of these columns."""
    return (
        f"SELECT id, {time} AS event_time, {email} AS email,"  # noqa: S608 (constants)
        " CAST(id % 100 + 0.25 AS DECIMAL(10, 2)) AS value,"
        f" 'usd' AS CURRENCY{more} FROM range(0, {rows}, 1, {partitions})"
    )


class Recorder(FaultyServer):
    """A server that keeps each event as it came."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[bytes] = []

    def take(self, head: bytes, body: bytes) -> Request:
        """Keep the events of a request."""
        self.events += [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]
        return super().take(head, body)


def ids(server: Recorder) -> list[str]:
    """The event IDs that came, each time counted."""
    return [msgspec.json.decode(event)["eventId"] for event in server.events]


def facts(folder: Path, outcome: str = "") -> list[dict[str, Any]]:
    """The rows of the table of outcomes, all of them or those of an outcome."""
    table = pytest.importorskip("pyarrow.parquet", reason="an extra").read_table(folder)
    return [row for row in table.to_pylist() if outcome in {"", row["outcome"]}]


def fact_ids(folder: Path, outcome: str) -> Counter[str]:
    """The IDs of the events with an outcome."""
    return Counter(row["event_id"] for row in facts(folder, outcome))


def environment() -> dict[str, str]:
    """The environment of Spark's processes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPARK")}
    here = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": str(PYTHON), "NO_PROXY": "127.0.0.1"}
    return kept | here


class Spark:
    """An application, driven by commands."""

    def __init__(self, folder: Path, master: str = "local[2]", **conf: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.events = folder / "events"
        self.events.mkdir(exist_ok=True)
        self.log = folder / "driver.log"
        settings = {
            "spark.ui.enabled": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": "1g",
            "spark.executor.memory": "600m",
            "spark.eventLog.enabled": "true",
            "spark.eventLog.compress": "false",
            "spark.eventLog.dir": f"file://{self.events}",
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
            **conf,
        }
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [PYTHON, Path(__file__).with_name("spark_shell.py"), master, json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env=environment(),
                start_new_session=True,  # So that it can be killed whole.
                text=True,
            )
        self._answer()

    def begin(self, do: str, **arguments: Any) -> None:
        """Tell it to do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()

    def end(self) -> Any:
        """What came of it: what it returned, or `Failed` with what Spark said."""
        answer = self._answer()
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["value"]

    def do(self, do: str, **arguments: Any) -> Any:
        """Do something to its end."""
        self.begin(do, **arguments)
        return self.end()

    def failure(self, do: str, **arguments: Any) -> str:
        """What Spark says of something that must fail."""
        try:
            value = self.do(do, **arguments)
        except Failed as failed:
            return str(failed)
        raise AssertionError(value)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.log.read_text(encoding="utf-8")[-3000:]
        answer: dict[str, Any] = json.loads(line)
        return answer

    def said(self) -> str:
        """All that it wrote to its log."""
        return self.log.read_text(encoding="utf-8")

    def wait_for(self, words: str, after: int = 0) -> str:
        """Wait until its log has these words, and return what it has after that many characters.

        Python workers write to the log on their own: their lines can follow the answer.
        """
        wait_until(lambda: words in self.said()[after:], f"{words!r} in {self.log}", 300)
        return self.said()[after:]

    def kill(self) -> None:
        """End it as a power cut would: driver, JVM and tasks."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def close(self) -> None:
        """End it in order."""
        try:
            self._process.communicate(timeout=30)  # Closes its input, which ends it.
        except subprocess.TimeoutExpired:
            self.kill()


class Failed(Exception):  # noqa: N818 (an answer)
    """What Spark says of something that failed."""


def event_ids(numbers: Iterable[int]) -> list[str]:
    """The IDs of the events of these orders."""
    return [derive_event_id("orders", [str(n)]) for n in numbers]


class Source:
    """A stream of orders: a file is a micro-batch.

    Args:
        spark: The application that sends it.
        folder: Where the files and the checkpoint are.
        outcomes: The table of outcomes.
        url: The API.
        email: The address of an order, as an expression.
    """

    def __init__(
        self,
        spark: Spark,
        folder: Path,
        outcomes: Path,
        url: str,
        email: str = "concat('buyer', id, '@example.com')",
    ) -> None:
        self._spark = spark
        self._folder = folder
        self.options = options(url, outcomes, max_concurrent_requests=2)
        time = f"timestamp_seconds({NOW - 3600}) AS event_time"
        self._columns = ["id", time, f"{email} AS email"]

    def add(self, first: int, last: int) -> None:
        """Add a micro-batch."""
        sql = f"SELECT id FROM range({first}, {last}, 1, 1)"  # noqa: S608 (numbers)
        self._spark.do("save", sql=sql, path=str(self._folder / "source"))

    def arguments(self, **more: Any) -> dict[str, Any]:
        """Return what a command of the shell is given."""
        return {
            "folder": str(self._folder / "source"),
            "columns": self._columns,
            "checkpoint": str(self._folder / "checkpoint"),
            **more,
        }

    def run(self) -> int:
        """Send what is new; return how many micro-batches there were."""
        return int(self._spark.do("stream", **self.arguments(options=self.options)))

    def run_in_parts(self, *more: dict[str, Any]) -> None:
        """Send what is new by several writes of each micro-batch."""
        writes = [self.options | one for one in more]
        self._spark.do("stream_in_parts", **self.arguments(writes=writes))

    def forget(self, batch: int) -> None:
        """Let a micro-batch begin again, as if the driver had ended just before it was noted."""
        for name in (f"{batch}", f".{batch}.crc"):
            (self._folder / "checkpoint" / "commits" / name).unlink()


def refusing(server: Recorder, numbers: Iterable[int]) -> None:
    """Let the API refuse each request with one of these orders."""
    bad = set(event_ids(numbers))

    def answer(request: Request) -> Reply:
        return Reply(400 if bad.intersection(request.ids) else 204)

    server.answer = answer


class Cluster:
    """A standalone cluster on loopback: a master and two workers of one core each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self._master = self._start("master", "master.Master", "--host", "127.0.0.1", "--port", "0")
        self.url = self._find("master", r"spark://127\.0\.0\.1:\d+")
        for number in range(2):
            own = ("--host", "127.0.0.1", "--cores", "1", "--memory", "700m", self.url)
            work = ("--work-dir", str(folder / f"work{number}"))
            self.workers.append(self._start(f"worker{number}", "worker.Worker", *work, *own))
        for number in range(2):
            self._find(f"worker{number}", "Successfully registered with master")

    def _start(self, name: str, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        spark, main = str(PYTHON.parent / "spark-class"), f"org.apache.spark.deploy.{program}"
        command = [spark, main, "--webui-port", "0", *arguments]
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment() | {"SPARK_DAEMON_MEMORY": "256m", "SPARK_HOME": _home()},
                start_new_session=True,
            )

    def _find(self, name: str, pattern: str) -> str:
        log = self._folder / f"{name}.log"
        look = lambda: re.search(pattern, log.read_text(encoding="utf-8"))  # noqa: E731
        return str(wait_until(look, f"{pattern} in {log}", 300)[0])

    def executors(self) -> list[int]:
        """The processes of the executors."""
        below = [pid for worker in self.workers for pid in children(worker.pid)]
        return [pid for pid in below if "CoarseGrainedExecutor" in _command(pid)]

    def tasks(self) -> list[int]:
        """The processes of the tasks: what the executors' daemons forked."""
        daemons = [pid for executor in self.executors() for pid in children(executor)]
        return [pid for daemon in daemons for pid in children(daemon)]

    def logs(self) -> str:
        """All that executors wrote to their logs."""
        files = sorted(self._folder.glob("work*/*/*/std*"))
        return "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files)

    def close(self) -> None:
        """End it."""
        for process in (*self.workers, self._master):
            process.terminate()
        for process in (*self.workers, self._master):
            process.wait(20)


def _home() -> str:
    return str(next(PYTHON.parents[1].glob("lib/python3*/site-packages/pyspark")))


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    with contextlib.suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(child) for task in tasks for child in task.read_text().split()]
    return []


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    return ""


@contextlib.contextmanager
def closing(spark: Spark) -> Iterator[Spark]:
    """Close an application at the end, or kill it if something failed."""
    try:
        yield spark
    except BaseException:
        spark.kill()
        raise
    spark.close()
