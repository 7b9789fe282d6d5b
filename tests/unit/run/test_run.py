"""The books of a run, with a real delivery to an API that is not there."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import wait_until

import target_liveintent.run.run as run_module
from target_liveintent.config.schema import settings_of
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.delivery.model import Batch, BatchResult
from target_liveintent.errors import DeliveryError, StorageError
from target_liveintent.run.run import Run
from target_liveintent.storage.dead_letters import DeadLetterFile
from target_liveintent.storage.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path


def _run(tmp_path: Path, write_state: Any, **settings: Any) -> Run:
    config = {
        "customer_id": "a-1b2c",
        "auth_token": "token",
        "dead_letter_path": str(tmp_path / "letters.singer"),
        **settings,
    }
    return Run(settings_of(config), write_state, logging.getLogger("test"))


def _rejection() -> Rejection:
    return Rejection("orders", "1", "no_identity", None, {})


def test_letters_are_durable_before_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STATE goes out only after the letters before it were synced to the disk."""
    happened: list[str] = []
    real = DeadLetterFile.sync

    def sync(letters: DeadLetterFile) -> None:
        real(letters)
        happened.append("sync")

    monkeypatch.setattr(DeadLetterFile, "sync", sync)
    run = _run(tmp_path, lambda _: happened.append("state"))
    run.counts.of("orders").read += 1
    run.reject("orders", _rejection())
    run.hold_state("{}")
    run.finish()
    assert happened[:2] == ["sync", "state"]


def test_a_letter_that_is_not_written_holds_state_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a letter cannot be written, its record has no fate, and nothing after it is told."""
    states: list[str] = []
    run = _run(tmp_path, states.append)

    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.open", fail)
    with pytest.raises(Exception, match="dead_letter_path"):
        run.reject("orders", _rejection())
    assert states == []
    assert run.counts.of("orders").rejected.total() == 0


def test_a_run_leaves_no_threads(tmp_path: Path) -> None:
    """A process that makes one run after the other, as Spark's does, gathers no threads."""
    before = threading.active_count()
    run = _run(tmp_path, lambda _: None, api_url="http://127.0.0.1:9", max_retry_seconds=0)
    body = b'{"eventId":"1"}'
    run.deliver("orders", Conversion("orders", "1", 1, int(time.time()) + 1000, body, {}))
    with pytest.raises(DeliveryError) as raised:
        run.finish()
    run.abandon(raised.value)
    wait_until(lambda: threading.active_count() == before, "the end of the threads")


def _delivered(tmp_path: Path, write_state: Any, **settings: Any) -> tuple[Run, BatchResult]:
    """A run with the file of delivered events, and a batch that the API has taken."""
    path = str(tmp_path / "sent.csv")
    run = _run(tmp_path, write_state, delivered_path=path, **settings)
    run.counts.of("orders").read += 1
    body = b'{"eventTime":1,"source":"web","userData":{},"purchaseData":{}}'
    sent = [Conversion("orders", "1", 1, int(time.time()) + 1000, body, {})]
    batch = Batch(run._states.open(), "orders", 0.0, sent)
    run.hold_state("{}")
    return run, BatchResult(batch, sent, [1.0], sent, accepted=True)


def test_rows_are_durable_before_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STATE goes out only after the rows of what it covers are on the disk."""
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    states: list[int] = []
    run, done = _delivered(tmp_path, lambda _: states.append(len(synced)))
    before = len(synced)  # (The folder, when the file was made.)
    run._settle(done)
    run.finish()
    assert states == [before + 1]


def test_rows_are_durable_before_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the ledger knows is not sent again, so its row may not be lost."""
    happened: list[str] = []
    monkeypatch.setattr("os.fsync", lambda _: happened.append("sync"))
    monkeypatch.setattr(Ledger, "end", lambda *_: happened.append("ledger"))
    run, done = _delivered(tmp_path, print, ledger_path=str(tmp_path / "ledger"))
    happened.clear()
    run._settle(done)
    assert happened == ["sync", "ledger"]
    run._close()


def test_a_row_that_is_not_written_holds_state_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk fails the run: no STATE covers what the file lacks, and no ledger knows it."""
    states: list[str] = []
    run, done = _delivered(tmp_path, states.append, ledger_path=str(tmp_path / "ledger"))
    whole = (tmp_path / "sent.csv").read_text()
    ended: list[object] = []
    monkeypatch.setattr(Ledger, "end", lambda *given: ended.append(given))

    def fill(file: int, row: bytes) -> int:
        if len(row) > 20:
            return real(file, row[:20])
        raise OSError(28, "No space left on device")

    real = os.write
    monkeypatch.setattr("os.write", fill)
    with pytest.raises(StorageError, match=r"delivered_path.*No space left") as raised:
        run._settle(done)
    run.abandon(raised.value)
    assert (states, ended) == ([], [])
    assert (tmp_path / "sent.csv").read_text() == whole


def test_a_stopped_run_ends_in_any_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the grace of a stop, requests that hang are left behind, and no STATE covers them."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:  # It never answers.
        port = silent.getsockname()[1]
        states: list[str] = []
        run = _run(tmp_path, states.append, api_url=f"http://127.0.0.1:{port}")
        monkeypatch.setattr(run_module, "_STOP_GRACE", 0.2)
        body = b'{"eventId":"1"}'
        run.deliver("orders", Conversion("orders", "1", 1, int(time.time()) + 1000, body, {}))
        run.hold_state("{}")
        run.request_stop()
        start = time.monotonic()
        with pytest.raises(DeliveryError, match="still on their way") as raised:
            run.finish()
        run.abandon(raised.value)
        assert time.monotonic() - start < 3
        assert states == []
