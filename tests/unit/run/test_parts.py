"""The parts of a run, as the settings say."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from fakes import LOGGER, event, settings

from target_liveintent.delivery.dry_run import DryRun
from target_liveintent.delivery.pool import DeliveryPool
from target_liveintent.errors import ConfigurationError, DeliveryError
from target_liveintent.run.parts import parts_of
from target_liveintent.run.run import Run

if TYPE_CHECKING:
    from pathlib import Path

    from target_liveintent.storage import EventLedger


def ledger_of(**changes: Any) -> EventLedger:
    """Return the ledger of a run."""
    ledger = parts_of(settings(**changes), LOGGER, run_id="run-1").ledger
    assert ledger is not None
    return ledger


def test_the_usual_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing set there is a ledger, whose file is made later, and no delivered file."""
    monkeypatch.chdir(tmp_path)
    parts = parts_of(settings(ledger=None), LOGGER, run_id="run-1")
    assert isinstance(parts.delivery, DeliveryPool)
    assert parts.ledger is not None
    assert parts.delivered_file is None
    assert list(tmp_path.iterdir()) == []
    assert parts.ledger.claim({0: [event("1")]})[0].mine == [event("1")]
    assert (tmp_path / "liveintent-ledger.sqlite").exists()
    parts.ledger.close()


def test_all_parts(tmp_path: Path) -> None:
    """With settings for them, files are opened before anything is sent, if they are there."""
    paths = {name: str(tmp_path / name) for name in ("ledger_path", "delivered_path")}
    (tmp_path / "ledger_path").touch()
    parts = parts_of(settings(ledger=True, **paths), LOGGER, run_id="run-1")
    assert parts.ledger is not None
    assert parts.ledger.is_kept
    assert parts.delivered_file is not None
    assert {path.name for path in tmp_path.iterdir()} >= set(paths)
    parts.ledger.close()
    parts.delivered_file.close()


def test_the_ledger_is_off(tmp_path: Path) -> None:
    """There is none, wherever it would be."""
    for given in ({}, {"ledger_path": str(tmp_path / "ledger")}):
        assert parts_of(settings(ledger=False, **given), LOGGER, run_id="run-1").ledger is None
    assert list(tmp_path.iterdir()) == []


def test_whose_the_ledger_is(tmp_path: Path) -> None:
    """An account is a customer ID at a host, whatever the port and the path of the URL."""
    given = {"ledger": True, "ledger_path": str(tmp_path / "ledger")}
    sent = [event("1", time.time() + 1_000)]
    for url, is_new in (
        ("http://127.0.0.1:9", True),
        ("http://127.0.0.1:8086/v2", False),
        ("http://localhost:9", True),
        ("https://api.example.com", True),
    ):
        ledger = ledger_of(api_url=url, **given)
        assert ledger.claim({0: sent})[0].mine == sent[: int(is_new)]
        if is_new:
            ledger.end(0, sent)
        ledger.close()


def test_a_default_ledger_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a warning; a run can do without what nobody has asked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "liveintent-ledger.sqlite").mkdir()
    assert ledger_of(ledger=True).claim({0: [event("1")]})[0].mine == [event("1")]
    (record,) = caplog.records
    assert (record.levelname, "continues without a ledger" in record.message) == ("WARNING", True)


def test_a_dry_run_opens_no_file(tmp_path: Path) -> None:
    """A dry run has neither threads nor files."""
    paths = {name: str(tmp_path / name) for name in ("ledger_path", "delivered_path")}
    parts = parts_of(settings(dry_run=True, ledger=True, **paths), LOGGER, run_id="run-1")
    assert isinstance(parts.delivery, DryRun)
    assert parts.ledger is not None
    assert parts.ledger.unsent([event("1"), event("1")]) == [event("1")]
    assert (parts.ledger.is_kept, parts.delivered_file) == (False, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ledger_path", "delivered_path"])
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    """It is found before anything is sent."""
    with pytest.raises(ConfigurationError, match=name):
        parts_of(settings(**{"ledger": True, name: str(tmp_path)}), LOGGER, run_id="run-1")


def test_a_run_leaves_no_threads(tmp_path: Path) -> None:
    """A process that makes one run after the other, as Spark's does, gathers no threads."""
    before = set(threading.enumerate())
    given = settings(dead_letter_path=str(tmp_path / "letters"), max_retry_seconds=0)
    run = Run(given, parts_of(given, LOGGER, run_id="run-1"))
    run.take("orders", event("1", time.time() + 1_000))
    with pytest.raises(DeliveryError) as raised:
        run.finish()
    run.abandon(raised.value)
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert set(threading.enumerate()) <= before
