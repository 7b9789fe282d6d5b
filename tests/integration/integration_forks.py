"""Starts targets as processes of their own without the half second that their imports take.

A parent that has imported the package forks a process for each target, which then goes on as
`python -m target_liveintent` does: with arguments, environment, folder and standard streams of its
own. Tests of the command line itself start the interpreter anew.
"""

import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_SIZE = 8


class Forked:
    """A target that was forked; the part of `subprocess.Popen` that tests need."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = threading.Event()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired("target", timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def end(self, code: int) -> None:
        self.returncode = code
        self._ended.set()


class Forks:
    """The parent of all forked targets of a test session."""

    def __init__(self, options: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        with theirs:
            self._parent = subprocess.Popen(
                [sys.executable, *options, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._lock = threading.Lock()
        self._started: list[Forked] = []
        self._answered = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def start(
        self,
        arguments: Sequence[str],
        folder: Path,
        env: Mapping[str, str],
        streams: tuple[int, int, int],
        constants: Mapping[str, Any],
    ) -> Forked:
        """Start a target with descriptors of its standard streams.

        `constants` are new values of the package's constants, by `module:NAME` or
        `module:Class.name`, so that a test does not wait for a time that a user never sets.
        """
        what = {
            "arguments": list(arguments),
            "folder": str(folder),
            "env": dict(env),
            "constants": dict(constants),
        }
        payload = json.dumps(what).encode()
        with self._lock:
            count = len(self._started)
            socket.send_fds(self._socket, [len(payload).to_bytes(_SIZE, "big")], list(streams))
            self._socket.sendall(payload)
            with self._answered:
                assert self._answered.wait_for(lambda: len(self._started) > count, 30)
            return self._started[count]

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._listener.join(5)
        self._socket.close()
        self._parent.wait(10)

    def _listen(self) -> None:
        with self._socket.makefile("r", encoding="utf-8") as replies:
            for line in replies:
                reply = json.loads(line)
                with self._answered:
                    if "started" in reply:
                        self._started.append(Forked(reply["started"]))
                    else:
                        fork = next(f for f in reversed(self._started) if f.pid == reply["ended"])
                        fork.end(reply["code"])
                    self._answered.notify_all()


def _serve(control: socket.socket) -> dict[str, Any]:
    """Fork whenever asked to; return in a child, with what it is to do."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready = select.select([control, readable], [], [])[0]
        if readable in ready:
            os.read(readable, 1024)
            _reap(control)
        if control not in ready:
            continue
        head, streams, _, _ = socket.recv_fds(control, _SIZE, 3)
        if not head:
            os._exit(0)
        payload = b""
        while len(payload) < int.from_bytes(head, "big"):
            payload += control.recv(65_536)
        if pid := os.fork():
            for stream in streams:
                os.close(stream)
            control.sendall(json.dumps({"started": pid}).encode() + b"\n")
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        for descriptor in (readable, writable, control.detach()):
            os.close(descriptor)
        return json.loads(payload)


def _reap(control: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        ended = {"ended": pid, "code": os.waitstatus_to_exitcode(status)}
        control.sendall(json.dumps(ended).encode() + b"\n")


def _main() -> None:
    import prometheus_client  # noqa: F401 (each run of a test writes metrics)

    import target_liveintent.cli  # noqa: F401

    gc.collect()
    gc.freeze()  # what is imported stays, so that no child looks through it
    what = _serve(socket.socket(fileno=int(sys.argv[1])))
    os.chdir(what["folder"])
    os.environ.clear()
    os.environ.update(what["env"])
    sys.argv[1:] = what["arguments"]
    for place, value in what["constants"].items():
        module, _, path = place.partition(":")
        *owners, name = path.split(".")
        owner = functools.reduce(getattr, owners, importlib.import_module(module))
        assert hasattr(owner, name), place
        setattr(owner, name, value)
    runpy.run_module("target_liveintent", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
