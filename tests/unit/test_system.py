"""What the package does on systems that are not this one."""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from target_liveintent import system

PATIENCE = 10.0


@pytest.fixture(params=["darwin", "win32"])
def other(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the module see another system, and return which."""
    monkeypatch.setattr(system, "sys", SimpleNamespace(platform=request.param))
    return str(request.param)


on_windows = pytest.mark.parametrize("other", ["win32"], indirect=True)


def test_names_that_differ_in_case_name_one_file_except_on_linux(other: str) -> None:
    """Windows and macOS take two spellings for one file."""
    assert system.identity_of("/Ä/b") == system.identity_of("/ä/B") != system.identity_of("/ä/c")


def test_the_reserve_takes_its_space_on_the_disk(other: str, tmp_path: Path) -> None:
    """No file system can compress the reserve."""
    with tempfile.TemporaryFile(buffering=0, dir=tmp_path) as file:
        system.allocate(file, 1_000_000)
        file.seek(0)
        assert len(set(file.read())) == 256
        assert os.fstat(file.fileno()).st_size == 1_000_000


@pytest.mark.parametrize("other", ["darwin"], indirect=True)
@pytest.mark.parametrize(
    "failure", [None, OSError(45, "Operation not supported")], ids=["supported", "not supported"]
)
def test_a_sync_on_macos_tells_the_drive_to_keep_the_file(
    other: str, failure: OSError | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that cannot tell the drive fails no sync."""
    asked: list[int] = []

    def control(_: int, command: int) -> None:
        asked.append(command)
        if failure:
            raise failure

    monkeypatch.setattr(
        system, "fcntl", SimpleNamespace(F_FULLFSYNC=51, fcntl=control), raising=False
    )
    with (tmp_path / "file").open("wb") as file:
        system.sync(file.fileno())
    assert asked == [51]


@on_windows
@pytest.mark.parametrize("refused", [2, 10**9], ids=["refused twice", "refused for good"])
def test_replacing_a_file_that_another_program_reads_is_tried_again(
    other: str, refused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuses to replace a file that is open."""
    monkeypatch.setattr(system, "_REPLACE_SECONDS", 0.3)
    left = [refused]

    class Busy:
        def replace(self, _: Path) -> None:
            left[0] -= 1
            if left[0] >= 0:
                raise PermissionError

    if refused == 2:
        system.replace(Busy(), Path())  # type: ignore[arg-type]
        assert left == [-1]
    else:
        with pytest.raises(PermissionError):
            system.replace(Busy(), Path())  # type: ignore[arg-type]


def chunks(pipe: int) -> Iterator[bytes | None]:
    return system.chunks(pipe, 4, 0.05)


@on_windows
def test_an_input_without_select_is_read_in_order_and_can_time_out(other: str) -> None:
    """What comes is there in order, nothing of it twice, and a silence ends a wait."""
    readable, writable = os.pipe()
    found = chunks(readable)
    assert next(found) is None
    os.write(writable, b"abcdefghi" * 10)
    came = b""
    while len(came) < 90:
        came += next(found) or b""
    assert came == b"abcdefghi" * 10
    assert next(found) is None
    os.close(writable)
    assert next(found) == b""
    os.close(readable)


@on_windows
def test_the_error_of_an_input_is_raised_where_it_is_read(other: str) -> None:
    """The error is raised where the input is read."""
    readable, writable = os.pipe()
    os.close(readable)
    with pytest.raises(OSError, match="Bad file descriptor"):
        next(chunks(readable))
    os.close(writable)


@on_windows
@pytest.mark.parametrize("is_cancelled", [False, True])
def test_an_alarm_comes_in_time_unless_it_is_cancelled(other: str, is_cancelled: bool) -> None:
    """An alarm comes in another thread, so it needs no signal."""
    rung: list[Any] = []
    begin = time.monotonic()
    alarm = system.Alarm(0.1, lambda: rung.append((time.monotonic(), threading.current_thread())))
    if is_cancelled:
        alarm.cancel()
    end = begin + (0.3 if is_cancelled else PATIENCE)
    while not rung and time.monotonic() < end:
        time.sleep(0.01)
    assert len(rung) == (not is_cancelled)
    assert all(at - begin > 0.09 and one.daemon for at, one in rung)


@on_windows
def test_ctrl_break_stops_a_run_as_a_signal_does(
    other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows sends Ctrl-Break in place of SIGTERM."""
    handlers: dict[int, Any] = {}
    seen = SimpleNamespace(SIGBREAK=21, signal=handlers.__setitem__)
    monkeypatch.setattr(system, "signal", seen)
    system.handle_break(print)
    assert handlers == {21: print}


@on_windows
def test_windows_has_neither_glibc_heaps_nor_a_descriptor_limit(other: str) -> None:
    """The functions for other systems do nothing on Windows."""
    system.use_one_heap()
    assert system.free_descriptors() is None


@pytest.mark.skipif(not hasattr(system, "resource"), reason="Windows has no such limit")
@pytest.mark.parametrize(
    ("left", "free"),
    [(1000, 1000), (0, 0), (-1, None)],
    ids=["some are free", "none is free", "no limit"],
)
def test_open_descriptors_are_not_free(
    left: int, free: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number is None for a process without a limit."""
    import resource

    used = len(os.listdir("/dev/fd"))  # noqa: PTH208
    limit = resource.RLIM_INFINITY if free is None else used + left
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert system.free_descriptors() == free
