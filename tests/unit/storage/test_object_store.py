"""The object store: what is tried again, what is not, and what messages say."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import fsspec
import pytest
from fakes import LOGGER, FakeClock, event, settings
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from target_liveintent.errors import ConfigurationError, RunError, StorageError
from target_liveintent.run import parts_of
from target_liveintent.storage import object_store
from target_liveintent.storage.object_store import ObjectStore
from target_liveintent.storage.store_faults import is_lasting, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


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


class EndpointConnectionError(Exception):
    """As the exception of botocore that has this name."""


class NoCredentialsError(Exception):
    """As the exception of botocore that has this name."""


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


def test_objects(faults: list[Exception]) -> None:
    """What is put can be listed, read, moved and deleted."""
    store = Opened("faulty://bucket/folder/").store
    store.check()
    for name in ("b.singer", "a.singer", "under/c.singer"):
        store.put(name, name.encode())
    assert (store.url, store.names()) == ("faulty://bucket/folder", ["a.singer", "b.singer"])
    assert store.names("under") == ["c.singer"]
    assert store.names("nothing") == []
    assert store.read("a.singer") == b"a.singer"
    store.move("a.singer", "b.singer")
    assert (store.names(), store.read("b.singer")) == (["b.singer"], b"a.singer")
    store.delete("b.singer")
    store.delete("b.singer")
    assert not store.exists("b.singer")
    with pytest.raises(FileNotFoundError):
        store.read("b.singer")


def test_what_passes_is_tried_again(faults: list[Exception]) -> None:
    """There is one warning for an outage, and longer and longer pauses."""
    opened = Opened()
    faults += [EndpointConnectionError("s3cr3t"), TimeoutError("s3cr3t"), OSError(5, "Broken")]
    opened.store.put("a", b"x")
    assert opened.store.read("a") == b"x"
    assert opened.clock.waits == [0.5, 1.0, 2.0]
    (warning,) = opened.warnings
    assert warning == (
        "a_path cannot be reached (the connection failed); the run keeps trying for up to 60"
        " seconds"
    )


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


def test_claims_do_not_lapse_while_a_store_is_waited_for(
    faults: list[Exception], tmp_path: Path
) -> None:
    """However long it takes, another run does not send what this one has claimed."""
    clock = FakeClock()
    paths = {"dead_letter_path": "faulty://bucket/folder", "ledger_path": str(tmp_path / "ledger")}
    given = settings(ledger=True, max_retry_seconds=300, **paths)
    one, two = (parts_of(given, LOGGER, clock, run_id=name) for name in ("run-1", "run-2"))
    assert one.ledger is not None
    assert two.ledger is not None
    assert one.ledger.claim({0: [event("1")]})[0].mine
    faults += [EndpointConnectionError("s3cr3t")] * 10
    start = clock.now
    one.dead_letters.write(b"{}\n")
    one.dead_letters.sync()
    assert clock.now - start > 60
    assert two.ledger.claim({0: [event("1")]})[0].other_run == "run-1"
    for parts in (one, two):
        parts.ledger.close()  # type: ignore[union-attr]
        parts.delivery.close()


def test_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A try ends in time, whatever the store's library thinks of that."""
    monkeypatch.setattr(object_store, "_LEAST_SECONDS", 0.05)
    with pytest.raises(
        StorageError, match=r"a_path could not be reached.*: no answer came in time"
    ):
        Opened("silent://bucket/folder", seconds=0).store.put("a", b"x")


def test_an_outage_that_is_over_gives_new_time(faults: list[Exception]) -> None:
    """The seconds count from the first failure after a success."""
    opened = Opened(seconds=10)
    for _ in range(5):
        faults += [EndpointConnectionError()] * 3
        opened.store.put("a", b"x")
    assert len(opened.warnings) == 5


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (PermissionError("s3cr3t"), "access is denied"),
        (FileNotFoundError("s3cr3t"), "it does not exist"),
        (NoCredentialsError("s3cr3t"), "no credentials are found in the environment"),
        (OSError(22, "Invalid argument"), "Invalid argument"),
        (ValueError("s3cr3t"), "ValueError"),
    ],
)
def test_what_no_retry_can_fix(faults: list[Exception], fault: Exception, words: str) -> None:
    """It is raised at once, in words of our own."""
    opened = Opened()
    faults.append(fault)
    with pytest.raises(StorageError) as raised:
        opened.store.put("a", b"x")
    assert str(raised.value) == f"a_path cannot be written: {words}"
    assert (opened.clock.waits, opened.warnings) == ([], [])


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        (PermissionError, "InvalidAccessKeyId", "access is denied (InvalidAccessKeyId)"),
        (PermissionError, "403", "access is denied"),
        (FileNotFoundError, "NoSuchBucket", "it does not exist (NoSuchBucket)"),
        (RuntimeError, "SlowDown", "SlowDown"),
        (RuntimeError, "", "RuntimeError"),
    ],
)
def test_codes_of_s3(kind: Callable[[str], Exception], code: str, words: str) -> None:
    """The code of a fault is shown, and none of its text."""
    fault = kind("s3cr3t")
    fault.__cause__ = ClientError(code)
    assert reason(fault) == words


def test_faults_of_other_kinds_pass() -> None:
    """What is not known may pass."""
    assert not is_lasting(RuntimeError())
    assert not is_lasting(OSError(16, "Busy"))
    assert is_lasting(OSError(22, "Invalid"))


def test_a_bucket_that_does_not_exist() -> None:
    """It is an error of the settings, and it is not made."""
    with pytest.raises(ConfigurationError, match="the bucket 'absent' of a_path does not exist"):
        Opened("faulty://absent/folder").store.check()
    assert not Faulty().exists("/absent")


def test_whoever_may_not_look(faults: list[Exception]) -> None:
    """Credentials that may only write are enough."""
    faults.append(PermissionError())
    Opened().store.check()


@pytest.mark.parametrize("fault", [NoCredentialsError(), OSError(22, "Invalid argument")])
def test_a_check_that_fails(faults: list[Exception], fault: Exception) -> None:
    """What a user has to put right is an error of the settings."""
    faults.append(fault)
    with pytest.raises(ConfigurationError, match="a_path cannot be used: "):
        Opened().store.check()


def test_a_check_during_an_outage(faults: list[Exception]) -> None:
    """It is no error of the settings."""
    faults += [EndpointConnectionError()] * 100
    with pytest.raises(StorageError, match="a_path could not be reached"):
        Opened().store.check()


def test_folders_on_a_disk(tmp_path: Path) -> None:
    """They are made, and an object that is written piece by piece is its owner's alone."""
    opened = Opened(str(tmp_path / "a" / "b"))
    opened.store.check()
    assert (tmp_path / "a" / "b").is_dir()
    with opened.store.failures_named(), opened.store.open("under/x") as file:
        file.write(b"x")
    assert (tmp_path / "a" / "b" / "under" / "x").stat().st_mode & 0o777 == 0o600
    opened.store.put("deep/y", b"y")
    assert opened.store.names("deep") == ["y"]


@pytest.mark.parametrize("url", ["faulty://", "faulty:///"])
def test_a_url_without_a_bucket(url: str) -> None:
    with pytest.raises(ConfigurationError, match="a_path does not name a bucket"):
        Opened(url)


def test_an_unknown_kind_of_url() -> None:
    with pytest.raises(ConfigurationError, match="a_path must be a URL with a scheme that fsspec"):
        Opened("s3cr3t://bucket/x")


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("gs://bucket/x", "pip install 'target-liveintent[gcs]'"),
        ("az://bucket/x", "pip install 'target-liveintent[azure]'"),
    ],
)
def test_a_missing_package(monkeypatch: pytest.MonkeyPatch, url: str, package: str) -> None:
    """The message says what to install."""
    for name in ("gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError) as raised:
        Opened(url)
    assert str(raised.value) == f"a_path needs a package that is not installed: {package}"


def test_without_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package itself may be missing as well."""
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(RunError, match=r"pip install 'target-liveintent\[s3\]'"):
        Opened("s3://bucket/x")


def test_names_that_begin_alike(faults: list[Exception], tmp_path: Path) -> None:
    """They are chosen on a disk and in a store, and what is in subfolders is not among them."""
    for store in (ObjectStore("a", "faulty://bucket/f", 0, lambda _: None), on_disk(tmp_path)):
        for name in ("one-1", "one-2", "two-1", "one-x/one-3"):
            store.put(name, b"")
        assert store.names(prefix="one-") == ["one-1", "one-2"]
        assert store.names("one-x", "one-") == ["one-3"]
        assert store.names("nothing", "one-") == []


def test_a_store_is_asked_for_a_prefix(
    faults: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of a bucket may hold millions of objects: it lists those that are wanted."""
    asked: list[str] = []

    def find(self: Faulty, path: str, prefix: str = "", **options: Any) -> dict[str, Any]:
        asked.append(prefix)
        found = super(Faulty, self).find(path, detail=True)
        return {name: one for name, one in found.items() if name.startswith(f"{path}/{prefix}")}

    monkeypatch.setattr(object_store, "_FIND_BY_PREFIX", {"faulty"})
    monkeypatch.setattr(Faulty, "find", find)
    store = ObjectStore("a", "faulty://bucket/f", 0, lambda _: None)
    for name in ("one-1", "two-1", "one-x/one-3"):
        store.put(name, b"")
    assert store.names(prefix="one-") == ["one-1"]
    assert asked == ["one-"]


def on_disk(folder: Path) -> ObjectStore:
    """Return a folder on a disk."""
    return ObjectStore("a folder", str(folder / "deep"), 0, lambda _: None)
