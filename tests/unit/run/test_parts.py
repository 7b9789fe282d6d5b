"""The parts of a run, as the settings say."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from fakes import LOGGER, event, settings

from target_liveintent.delivery.dry_run import DryRun
from target_liveintent.delivery.pool import DeliveryPool
from target_liveintent.errors import ConfigurationError, DeliveryError
from target_liveintent.run.parts import parts_of
from target_liveintent.run.run import Run

if TYPE_CHECKING:
    from pathlib import Path


def test_the_usual_parts(tmp_path: Path) -> None:
    """Without settings for them there is neither a ledger nor a delivered file."""
    parts = parts_of(settings(dead_letter_path=str(tmp_path / "letters")), LOGGER)
    assert isinstance(parts.delivery, DeliveryPool)
    assert (parts.ledger, parts.delivered_file) == (None, None)
    assert list(tmp_path.iterdir()) == []


def test_all_parts(tmp_path: Path) -> None:
    """With settings for them, the files are opened before anything is sent."""
    paths = {name: str(tmp_path / name) for name in ("ledger_path", "delivered_path")}
    parts = parts_of(settings(**paths), LOGGER)
    assert parts.ledger is not None
    assert parts.delivered_file is not None
    assert {path.name for path in tmp_path.iterdir()} >= set(paths)
    parts.ledger.close()
    parts.delivered_file.close()


def test_a_dry_run_opens_no_file(tmp_path: Path) -> None:
    """A dry run has neither threads nor files."""
    paths = {name: str(tmp_path / name) for name in ("ledger_path", "delivered_path")}
    parts = parts_of(settings(dry_run=True, **paths), LOGGER)
    assert isinstance(parts.delivery, DryRun)
    assert (parts.ledger, parts.delivered_file) == (None, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ledger_path", "delivered_path"])
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    """It is found before anything is sent."""
    with pytest.raises(ConfigurationError, match=name):
        parts_of(settings(**{name: str(tmp_path)}), LOGGER)


def test_a_run_leaves_no_threads(tmp_path: Path) -> None:
    """A process that makes one run after the other, as Spark's does, gathers no threads."""
    before = set(threading.enumerate())
    given = settings(dead_letter_path=str(tmp_path / "letters"), max_retry_seconds=0)
    run = Run(given, parts_of(given, LOGGER))
    run.take("orders", event("1", time.time() + 1_000))
    with pytest.raises(DeliveryError) as raised:
        run.finish()
    run.abandon(raised.value)
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert set(threading.enumerate()) <= before
