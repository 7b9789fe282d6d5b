"""The object store: what is tried again, what is not, and what messages say."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import fsspec
import pytest
from fakes import FakeClock
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.spark import object_store
from target_liveintent.spark.object_store import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Faulty(MemoryFileSystem):
    """A store that fails as often as a test says."""

    protocol = "faulty"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    faults: ClassVar[list[Exception]] = []

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("faulty:/"))

    def pipe_file(self, path: str, value: bytes, **how: Any) -> None:
        if self.faults:
            raise self.faults.pop(0)
        super().pipe_file(path, value, **how)

    def info(self, path: str, **how: Any) -> Any:
        if self.faults:
            raise self.faults.pop(0)
        return super().info(path, **how)


fsspec.register_implementation("faulty", Faulty, clobber=True)


class Silent(AsyncFileSystem):
    """A store that does not answer, as a library for one is written."""

    protocol = "silent"

    async def _pipe_file(self, path: str, value: bytes, **how: Any) -> None:
        await asyncio.sleep(60)


fsspec.register_implementation("silent", Silent, clobber=True)


MISSING = "needs a package that is not installed: pip install"


EndpointConnectionError = type("EndpointConnectionError", (Exception,), {})
NoCredentialsError = type("NoCredentialsError", (Exception,), {})
"""As the exceptions of botocore that have these names."""


class ClientError(Exception):
    """As the exception of botocore that has this name."""

    def __init__(self, code: str) -> None:
        super().__init__("s3cr3t")
        self.response = {"Error": {"Code": code, "Message": "s3cr3t"}}


@pytest.fixture
def faults() -> Iterator[list[Exception]]:
    """Make a bucket, and give the faults to come."""
    Faulty().mkdir("/bucket")
    yield Faulty.faults
    Faulty.faults.clear()
    Faulty().rm("/bucket", recursive=True)


class Opened:
    """A store, and what it needs."""

    def __init__(self, url: str = "faulty://bucket/folder", seconds: float = 60.0) -> None:
        self.clock = FakeClock()
        self.warnings: list[str] = []
        self.store = ObjectStore("a_path", url, seconds, self.warnings.append, self.clock)


@pytest.fixture(params=["store", "disk"])
def place(request: pytest.FixtureRequest, faults: list[Exception], tmp_path: Path) -> str:
    """Name a folder of a store, or of a disk."""
    return "faulty://bucket/folder" if request.param == "store" else str(tmp_path / "a" / "b")


def test_objects(place: str) -> None:
    """What is put can be listed, read, moved and deleted; folders are made."""
    store = Opened(place + "/").store
    store.check()
    assert Path(place).is_dir() == store.has_folders
    for name in ("b-1", "a-1", "a-2", "a-x/a-3"):
        store.put(name, name.encode())
    assert (store.url, store.names()) == (place, ["a-1", "a-2", "b-1"])
    assert store.names(prefix="a-") == ["a-1", "a-2"]
    assert store.names("a-x") == store.names("a-x", "a-") == ["a-3"]
    assert store.names("nothing") == store.names("nothing", "a-") == []
    assert store.read("a-1") == b"a-1"
    store.move("a-1", "b-1")
    assert (store.names(), store.read("b-1")) == (["a-2", "b-1"], b"a-1")
    store.delete("b-1")
    store.delete("b-1")
    assert not store.exists("b-1")
    with pytest.raises(FileNotFoundError):
        store.read("b-1")


def test_an_outage(faults: list[Exception]) -> None:
    """There is one warning for it, and longer and longer pauses; then all time is given anew."""
    opened = Opened(seconds=10)
    for _ in range(5):
        faults += [EndpointConnectionError("s3cr3t"), TimeoutError("s3cr3t"), OSError(5, "Broken")]
        opened.store.put("a", b"x")
    assert opened.store.read("a") == b"x"
    assert opened.clock.waits == [0.5, 1.0, 2.0] * 5
    words = "a_path cannot be reached (the connection failed); the run keeps trying for up to 10"
    assert opened.warnings == [f"{words} seconds"] * 5


def test_an_outage_that_goes_on(faults: list[Exception]) -> None:
    """It ends the run after the seconds that are given; no pause is longer than ten."""
    opened = Opened(seconds=60)
    faults += [EndpointConnectionError("s3cr3t")] * 100
    start = opened.clock.now
    with pytest.raises(StorageError, match=r"a_path could not be reached for 60 seconds: the con"):
        opened.store.put("a", b"x")
    assert opened.clock.now - start == 60
    assert max(opened.clock.waits) == 10
    tried = len(faults)
    with pytest.raises(StorageError):  # The end of the run tries once more, and does not wait.
        opened.store.put("a", b"x")
    assert (len(faults), opened.clock.now - start) == (tried - 1, 60)


def test_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A try ends in time, whatever the store's library thinks of that."""
    monkeypatch.setattr(object_store, "_LEAST_SECONDS", 0.05)
    with pytest.raises(StorageError, match=r"a_path could not be reached.*: no answer came in"):
        Opened("silent://bucket/folder", seconds=0).store.put("a", b"x")


def of_s3(kind: Callable[[str], Exception], code: str) -> Exception:
    """Return a fault as the store's library raises it for a code of S3."""
    fault = kind("s3cr3t")
    fault.__cause__ = ClientError(code)
    return fault


@pytest.mark.parametrize(
    ("fault", "words", "is_passing"),
    [
        (PermissionError("s3cr3t"), "access is denied", False),
        (FileNotFoundError("s3cr3t"), "it does not exist", False),
        (NoCredentialsError("s3cr3t"), "no credentials are found in the environment", False),
        (OSError(22, "Invalid argument"), "Invalid argument", False),
        (ValueError("s3cr3t"), "ValueError", False),
        (of_s3(PermissionError, "InvalidToken"), "access is denied (InvalidToken)", False),
        (of_s3(PermissionError, "403"), "access is denied", False),
        (of_s3(FileNotFoundError, "NoSuchBucket"), "it does not exist (NoSuchBucket)", False),
        (of_s3(RuntimeError, "SlowDown"), "SlowDown", True),
        (of_s3(RuntimeError, ""), "RuntimeError", True),
        (RuntimeError("s3cr3t"), "RuntimeError", True),
        (OSError(16, "Busy"), "Busy", True),
    ],
)
def test_what_a_retry_can_fix(
    faults: list[Exception], fault: Exception, words: str, is_passing: bool
) -> None:
    """What is not known may pass; the rest is raised at once, in words without the fault's text."""
    opened = Opened()
    faults.append(fault)
    if is_passing:
        opened.store.put("a", b"x")
        assert f"a_path cannot be reached ({words});" in opened.warnings[0]
        return
    with pytest.raises(StorageError) as raised:
        opened.store.put("a", b"x")
    assert str(raised.value) == f"a_path cannot be written: {words}"
    assert (opened.clock.waits, opened.warnings) == ([], [])


def test_a_bucket_that_does_not_exist() -> None:
    """It is an error of the settings, and it is not made."""
    with pytest.raises(ConfigurationError, match="the bucket 'absent' of a_path does not exist"):
        Opened("faulty://absent/folder").store.check()
    assert not Faulty().exists("/absent")


@pytest.mark.parametrize(
    ("found", "error", "words"),
    [
        ([NoCredentialsError()], ConfigurationError, "a_path cannot be used: no credentials"),
        ([OSError(22, "Invalid")], ConfigurationError, "a_path cannot be used: Invalid"),
        ([EndpointConnectionError()] * 100, StorageError, "a_path could not be reached"),
    ],
)
def test_a_check_that_fails(
    faults: list[Exception], found: list[Exception], error: type[Exception], words: str
) -> None:
    """What a user has to put right is an error of the settings, and an outage is none.

    Credentials that may only write are enough.
    """
    faults += [PermissionError(), *found]
    Opened().store.check()
    with pytest.raises(error, match=words):
        Opened().store.check()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("faulty://", "does not name a bucket: give a URL such as s3://bucket/folder"),
        ("faulty:///", "does not name a bucket: give a URL such as s3://bucket/folder"),
        (
            "s3cr3t://bucket/x",
            "must be a URL with a scheme that fsspec supports, such as s3://bucket/folder",
        ),
        ("gs://bucket/x", f"{MISSING} gcsfs"),
        ("az://bucket/x", f"{MISSING} adlfs"),
        ("s3://bucket/x", f"{MISSING} s3fs"),
    ],
)
def test_a_url_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, url: str, words: str) -> None:
    """The message says what to write, or what to install: fsspec may be missing as well."""
    for name in ("fsspec",) if url.startswith("s3:") else ("gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError) as raised:
        Opened(url)
    assert str(raised.value) == f"a_path {words}"
