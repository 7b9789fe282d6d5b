"""The target as a process of its own, and Singer messages for it."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from integration_forks import Forked
from run_counts import Counts, RunCounts
from store_tables import letters_by_id, read_letters
from typing_extensions import Self

from target_liveintent.config import settings_of
from target_liveintent.conversions.event_model import DEAD_LETTERS
from target_liveintent.run_id import new_run_id
from target_liveintent.store.dead_letters import imported
from target_liveintent.store.opening import open_store

Message = dict[str, Any]

CUSTOMER = "a-1b2c"
TOKEN = "sandbox-token"
STORE = "liveintent.sqlite"
DAY = 86_400
PATIENCE = 20.0
"""Seconds after which a condition that a test waits for counts as missed."""

SETTINGS: dict[str, Any] = {
    "customer_id": CUSTOMER,
    "auth_token": TOKEN,
    "pixel_id": 12345,
    "default_source": "web",
}

OFTEN = {
    "target_liveintent.singer.reader:_WAIT_SECONDS": 0.02,
    "target_liveintent.run.run:TICK": 0.02,
}
"""Constants of a run that looks every 20 ms, and not every second, for what there is to do."""

# The SDK says at import that Python 3.10 is at its end of life.
_WARNINGS = ["error"] if sys.version_info >= (3, 11) else ["error", "ignore::FutureWarning"]
OPTIONS = [part for warning in _WARNINGS for part in ("-W", warning)]
"""Options of the interpreter: warnings are errors in the target as well."""

# Messages


def schema(
    stream: str = "orders",
    columns: Iterable[str] = ("id", "event_time", "email", "value", "currency"),
    keys: Iterable[str] = ("id",),
    **typed: Any,
) -> Message:
    """Return a SCHEMA message; `typed` gives columns with a schema of their own."""
    properties = {**{column: {} for column in columns}, **typed}
    return {
        "type": "SCHEMA",
        "stream": stream,
        "schema": {"type": "object", "properties": properties},
        "key_properties": list(keys),
    }


def order(number: int | str, stream: str = "orders", **columns: Any) -> Message:
    """Return a RECORD message of an order of an hour ago; `...` leaves a column out."""
    record = {
        "id": number,
        "event_time": int(time.time()) - 3600,
        "email": f"buyer{number}@example.com",
        "value": 12.5,
        "currency": "USD",
    } | columns
    return {
        "type": "RECORD",
        "stream": stream,
        "record": {name: value for name, value in record.items() if value is not ...},
    }


def orders(*numbers: int, **columns: Any) -> list[Message]:
    """Return the RECORD messages of orders; with one number, of that many, from 0."""
    return [order(n, **columns) for n in (range(*numbers))]


def numbered(count: int, **columns: Any) -> list[Message]:
    """Return that many orders whose event IDs are `order-0`, `order-1` and so on."""
    return [order(n, event_id=f"order-{n}", **columns) for n in range(count)]


WITH_ID = ("id", "event_id", "event_time", "email", "value", "currency")
"""The columns of `numbered`."""


def state(value: Any) -> Message:
    return {"type": "STATE", "value": value}


def batch(*paths: Path | str, form: str = "jsonl", compression: str | None = "none") -> Message:
    """Return a BATCH message of orders for files, or for URLs."""
    encoding = {"format": form} | ({"compression": compression} if compression else {})
    urls = [path if isinstance(path, str) else path.as_uri() for path in paths]
    return {"type": "BATCH", "stream": "orders", "encoding": encoding, "manifest": urls}


def dead_letter(event_id: str, **columns: Any) -> Message:
    """Return a dead letter as a run without a usable source writes it."""
    record = order(1, id=..., email=..., event_id=event_id)["record"]
    record |= {"sha2": "a" * 64, "reason": "invalid_source", "stream": "orders", **columns}
    return {"type": "RECORD", "stream": DEAD_LETTERS, "record": record}


def dead_letter_lines(*letters: Message) -> bytes:
    """Return a Singer stream of dead letters, as `dead-letters --format=singer` prints it."""
    columns = ("event_id", "event_time", "sha2", "value", "currency")
    return lines([schema(DEAD_LETTERS, columns, ()), *letters])


def lines(messages: Iterable[Message | str | bytes]) -> bytes:
    """Return messages as a tap writes them; text and bytes go as they are."""
    raw = (m if isinstance(m, (str, bytes)) else json.dumps(m) for m in messages)
    return b"".join((m.encode() if isinstance(m, str) else m) + b"\n" for m in raw)


# Waiting


def wait_until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Wait until a condition holds, and return what it gave."""
    end = time.monotonic() + patience
    never = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain: {what}"
        never.wait(0.01)
    return found


# The process


class Running:
    """A target in a process of its own, which is forked, or a new interpreter.

    Args:
        arguments: Of `python -m target_liveintent`.
        folder: Where it runs.
        env: Its environment.
        on_stdout: Called with each line of standard output the moment it appears.
        stdin: A file to read from, in place of a pipe.
        forked: Whether it is forked.
        constants: Of a forked target, as in `Forked`, or one on another system.
    """

    def __init__(
        self,
        arguments: Iterable[str],
        folder: Path,
        env: Mapping[str, str],
        *,
        on_stdout: Callable[[str], None] | None = None,
        stdin: IO[bytes] | None = None,
        forked: bool = False,
        constants: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self._arguments = list(arguments)
        pipes = [os.pipe() for _ in range(3)]
        theirs = (pipes[0][0] if stdin is None else stdin.fileno(), pipes[1][1], pipes[2][1])
        self.process: subprocess.Popen[bytes] | Forked
        if forked:
            self.process = Forked(self._arguments, folder, env, theirs, constants or {})
        else:
            self.process = subprocess.Popen(
                [sys.executable, *OPTIONS, "-m", "target_liveintent", *self._arguments],
                cwd=folder,
                env={**env, "CONSTANTS": json.dumps(constants or {})},
                stdin=theirs[0],
                stdout=theirs[1],
                stderr=theirs[2],
            )
        for descriptor in (pipes[0][0], pipes[1][1], pipes[2][1]):
            os.close(descriptor)
        self.stdin = os.fdopen(pipes[0][1], "wb")
        self.stdout_pipe = os.fdopen(pipes[1][0], "rb")
        self.stderr_pipe = os.fdopen(pipes[2][0], "rb")
        self.out: list[str] = []
        self.err: list[str] = []
        self._on_stdout = on_stdout
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((self.stdout_pipe, self.out), (self.stderr_pipe, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[bytes], into: list[str]) -> None:
        for raw in stream:
            text = raw.decode().rstrip("\n")
            if into is self.out and self._on_stdout is not None:
                self._on_stdout(text)
            into.append(text)

    def send(self, *messages: Message | str | bytes) -> Self:
        """Write messages to standard input, which stays open."""
        self.stdin.write(lines(messages))
        self.stdin.flush()
        return self

    def close_input(self) -> Self:
        self.stdin.close()
        return self

    def signal(self, number: int) -> Self:
        self.process.send_signal(number)
        return self

    def wait(self, patience: float = PATIENCE) -> Self:
        """Wait for the process to end by itself."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            msg = f"still running; its output:\n{self.stdout}\n{self.log}"
            raise AssertionError(msg) from None
        for reader in self._readers:
            reader.join(5)
        return self

    def kill(self) -> None:
        """End the process, if it has not ended, and close its pipes."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)
        for reader in self._readers:
            reader.join(5)
        for pipe in (self.stdin, self.stdout_pipe, self.stderr_pipe):
            with contextlib.suppress(OSError):
                pipe.close()

    # What came out

    @property
    def code(self) -> int:
        assert self.process.returncode is not None
        return self.process.returncode

    @property
    def stdout(self) -> str:
        return "\n".join(list(self.out))

    @property
    def states(self) -> list[Any]:
        return [json.loads(line) for line in list(self.out)]

    @property
    def log(self) -> str:
        return "\n".join(list(self.err))

    @property
    def run_id(self) -> str | None:
        """The ID of the run, from the first line of standard error; None if there is no run."""
        found = re.search(r", run ([0-9a-f-]{36})$", next(iter(self.err), ""))
        return found and found[1]

    @property
    def last_line(self) -> str:
        """The last line of standard error, without the logger's prefix and the ID of the run.

        The line of each run must end in its ID.
        """
        line = self.texts[-1]
        if self.run_id is None:
            return line
        assert line.endswith(f" (run {self.run_id})"), line
        return line.removesuffix(f" (run {self.run_id})")

    @property
    def texts(self) -> list[str]:
        """The log lines, without the logger's prefix."""
        return [line.split("|", 3)[-1].strip() for line in list(self.err)]

    @property
    def warnings(self) -> list[str]:
        """The log lines at WARNING and above, in words."""
        rows = [line.split("|", 3) for line in list(self.err)]
        return [row[3].strip() for row in rows if len(row) == 4 and row[1].strip() != "INFO"]

    @property
    def letters(self) -> list[dict[str, Any]]:
        """The dead letters of the store."""
        return read_letters(self.folder / STORE)

    @property
    def counts(self) -> RunCounts:
        """The counts at the end, from the metrics file that the configuration names."""
        config = self.folder / self._arguments[self._arguments.index("--config") + 1]
        return RunCounts.read(self.folder / json.loads(config.read_text())["metrics_path"])

    @property
    def summary(self) -> dict[str, Counts]:
        return self.counts.streams

    @property
    def requests(self) -> int:
        return self.counts.requests

    @property
    def totals(self) -> list[str]:
        """The words of the summary's last line, in a list: one line after a run that ended."""
        return [text for text in self.texts if text.startswith("total: read ")]


_HOW = {"env", "on_stdout", "stdin", "constants"}


class Launcher:
    """Starts targets in a folder of their own, and sees to it that none is left over."""

    def __init__(self, folder: Path, api_url: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.forked = True
        self.folder = folder
        self.api_url = api_url
        self._started: list[Running] = []
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith("TARGET_LIVEINTENT_")
            and not name.lower().endswith("_proxy")
            and name not in {"NETRC", "LOGLEVEL", "SINGER_SDK_LOG_CONFIG"}
        }
        self.env = {**kept, "HOME": str(folder), "PYTHONIOENCODING": "utf-8"}
        if "PYTHONPATH" in kept:  # may be relative to where the tests started
            paths = [os.path.abspath(p) for p in kept["PYTHONPATH"].split(os.pathsep) if p]  # noqa: PTH100
            self.env["PYTHONPATH"] = os.pathsep.join(paths)

    @property
    def store(self) -> Path:
        """The file of the store, if the settings name no other one."""
        return self.folder / STORE

    @property
    def store_files(self) -> dict[str, bytes]:
        """The files of the store, with what SQLite writes beside it."""
        return {path.name: path.read_bytes() for path in self.folder.glob(f"{STORE}*")}

    @property
    def letters(self) -> dict[str, dict[str, Any]]:
        """The dead letters of the store, by event ID."""
        return letters_by_id(self.store)

    def config(self, **settings: Any) -> Path:
        """Write a configuration file: the usual settings with changes; `...` leaves one out."""
        number = len(self._started)
        values = {
            **SETTINGS,
            "api_url": self.api_url,
            "max_retry_seconds": 20,
            "metrics_path": f"run-{number}.prom",
            **settings,
        }
        path = self.folder / f"config-{number}.json"
        path.write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))
        return path

    def command(self, *arguments: str, env: Mapping[str, str] | None = None, **how: Any) -> Running:
        """Start a target with any arguments, in a new interpreter; `how` is as of `Running`."""
        running = Running(arguments, self.folder, {**self.env, **(env or {})}, **how)
        self._started.append(running)
        return running

    def start(self, *arguments: str, **given: Any) -> Running:
        """Start a run, or a command such as `replay`, with a configuration file.

        `given` are settings, an environment as `env`, and how it is started, as of `Running`.
        """
        how = {name: given.pop(name) for name in _HOW & given.keys()}
        config = str(self.config(**given))
        return self.command("--config", config, *arguments, forked=self.forked, **how)

    def run(
        self,
        *messages: Message | str | bytes,
        options: Iterable[str] = (),
        patience: float = PATIENCE,
        **given: Any,
    ) -> Running:
        """Run a target over messages, with options such as `--send-again`, to its end."""
        source = self.folder / f"input-{len(self._started)}.singer"
        source.write_bytes(lines(messages))
        with source.open("rb") as stdin:
            return self.start(*options, stdin=stdin, **given).wait(patience)

    def in_shell(
        self, script: str, *arguments: str, given: bytes
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a target from a shell, whose script has the command of the target as `"$@"`."""
        program = (sys.executable, *OPTIONS, "-m", "target_liveintent", *arguments)
        return subprocess.run(
            ["sh", "-c", script, "sh", *program],
            check=False,
            cwd=self.folder,
            env=self.env,
            input=given,
            capture_output=True,
            timeout=60,
        )

    def ask(self, *arguments: str, patience: float = PATIENCE, **given: Any) -> Running:
        """Run a command to its end, such as `health` or `replay`."""
        return self.start(*arguments, **given).close_input().wait(patience)

    def put_letters(self, *letters: Message) -> None:
        """Put dead letters into the store, as an earlier run of the account."""
        settings = settings_of({**SETTINGS, "api_url": self.api_url, "store": str(self.store)})
        with contextlib.closing(open_store(settings.storage, new_run_id())) as store:
            account, events = settings.account, settings.events
            store.import_letters(imported(one["record"], account, events) for one in letters)

    def exported(self, **settings: Any) -> str:
        """Return the dead letters as the stream that a command prints for people to edit."""
        run = self.ask("dead-letters", "--format=singer", **settings)
        assert (run.code, run.log) == (0, "")
        return f"{run.stdout}\n"

    def explain(
        self, *messages: Message | str | bytes, options: Iterable[str] = (), **settings: Any
    ) -> Running:
        """Run `explain` over messages, with more options, to its end."""
        source = self.folder / "explained.singer"
        source.write_bytes(lines(messages))
        return self.ask("explain", source.name, *options, **settings)

    def close(self) -> None:
        for running in self._started:
            running.kill()
