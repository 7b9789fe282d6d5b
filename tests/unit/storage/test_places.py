"""What the settings name: the check of the dead letters' file before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes import LOGGER, settings

from target_liveintent.errors import ConfigurationError
from target_liveintent.storage import Places, places

WHAT_TO_DO = (
    "cannot be written: set dead_letter_path to a file in a folder that the run can write to"
)


def check(**given: Any) -> None:
    """Check the dead letters of these settings."""
    Places(settings(**given), LOGGER).check_dead_letters()


def test_dead_letters_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the whole path, and says if it is the default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "can_be_written", lambda _: False)
    with pytest.raises(ConfigurationError) as raised:
        check()
    path = Path("liveintent-dead-letters.singer").absolute()
    unset = f"setting 'dead_letter_path' is not set, and its default, '{path}', {WHAT_TO_DO}"
    assert str(raised.value) == unset
    with pytest.raises(ConfigurationError) as raised:
        check(dead_letter_path="own.singer")
    path = Path("own.singer").absolute()
    assert str(raised.value) == f"setting 'dead_letter_path' names '{path}', which {WHAT_TO_DO}"


@pytest.mark.parametrize("given", [{"dry_run": True}, {"on_rejection": "fail"}])
def test_runs_without_dead_letters(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]) -> None:
    """They need no file for them."""
    monkeypatch.setattr(places, "can_be_written", lambda _: False)
    check(**given)


def test_dead_letters_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check makes no file, and leaves a bucket to the one of the store."""
    monkeypatch.chdir(tmp_path)
    check()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(places, "can_be_written", lambda _: False)
    check(dead_letter_path="memory://letters")
