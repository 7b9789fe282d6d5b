"""Shows the package another operating system; Python imports this module at its start.

The environment variable PRETENDED names a file, which `other_systems.py` writes. Only the modules
of the package see other modules of the standard library: all else goes on as on this machine.
"""

import builtins
import ctypes
import errno
import fcntl
import functools
import importlib
import json
import os
import select
import signal
import socket
import sys
import types
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

PACKAGE = "target_liveintent"
F_FULLFSYNC = 51
SIGBREAK = 21
SIGNALS: set[int] = {signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGINT, signal.SIGSEGV}
SIGNALS |= {signal.SIGTERM, SIGBREAK}
"""What a handler can be set for on Windows."""


class Seen(types.ModuleType):
    """A module without the names that the system lacks, and with what it does otherwise."""

    def __init__(self, real: Any, lacking: set[str], otherwise: dict[str, Any]) -> None:
        super().__init__(real.__name__)
        vars(self).update(_real=real, _lacking=lacking, **otherwise)

    def __getattr__(self, name: str) -> Any:
        if name in self._lacking:
            msg = f"module '{self.__name__}' has no attribute '{name}'"
            raise AttributeError(msg)
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)


def cdll(name: str | None, *more: Any) -> Any:
    if name is None:
        msg = "bad argument type for built-in operation"
        raise TypeError(msg)
    return ctypes.CDLL(name, *more)


def select_sockets(*lists: Any) -> Any:
    for one in (one for some in lists[:3] for one in some):
        if not isinstance(one, socket.socket):
            raise OSError(10038, "An operation was attempted on something that is not a socket")
    return select.select(*lists)


def fsync(descriptor: int) -> None:
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "Bad file descriptor")
    os.fsync(descriptor)


def set_handler(number: int, handler: Any) -> Any:
    if number not in SIGNALS:
        msg = "invalid signal value"
        raise ValueError(msg)
    return signal.signal(number, handler)


def control(descriptor: int, command: int) -> None:
    assert command == F_FULLFSYNC
    os.fsync(descriptor)


OTHERWISE: dict[str, dict[str, dict[str, Any]]] = {
    "darwin": {
        "sys": {"platform": "darwin"},
        "fcntl": {"F_FULLFSYNC": F_FULLFSYNC, "fcntl": control},
    },
    "win32": {
        "sys": {"platform": "win32"},
        "os": {"name": "nt", "fsync": fsync},
        "ctypes": {"CDLL": cdll},
        "select": {"select": select_sockets},
        "signal": {"SIGBREAK": SIGBREAK, "signal": set_handler},
    },
}


@functools.cache
def seen(name: str) -> Any:
    """Return what the package sees of a module that it imports."""
    lacking = PRETENDED["lacking"].get(name, [])
    if lacking is None:
        msg = f"No module named '{name}'"
        raise ModuleNotFoundError(msg, name=name)
    otherwise = OTHERWISE[PRETENDED["system"]].get(name, {})
    real = importlib.import_module(name)
    return Seen(real, {*lacking}, otherwise) if lacking or otherwise else real


def import_(name: str, *scopes: Any) -> Any:
    """Take the place of `__import__` in a module of the package."""
    found = builtins.__import__(name, *scopes)
    top = name.partition(".")[0]
    names = scopes[2] if len(scopes) > 2 else ()
    return found if top == PACKAGE else seen(name if names else top)


class Finder(MetaPathFinder):
    """Finds the modules of the package."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        spec: Any = None
        if name.partition(".")[0] == PACKAGE:
            spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader.exec_module = functools.partial(execute, spec.loader.exec_module)
        return spec


def execute(execute_really: Any, module: types.ModuleType) -> None:
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": import_}
    execute_really(module)
    for place, value in json.loads(os.environ.get("CONSTANTS", "{}")).items():
        name, _, constant = place.partition(":")
        if name == module.__name__:
            setattr(module, constant, value)


if "PRETENDED" in os.environ:
    PRETENDED = json.loads(Path(os.environ["PRETENDED"]).read_text(encoding="utf-8"))
    sys.meta_path.insert(0, Finder())
