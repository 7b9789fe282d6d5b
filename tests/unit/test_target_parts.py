"""What a run works with, as the settings and the command say."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from unit_support import ACCOUNT

from target_liveintent.delivery.dry_run import DryRun
from target_liveintent.delivery.pool import DeliveryPool
from target_liveintent.errors import ConfigurationError
from target_liveintent.run import ReplayChoice
from target_liveintent.store import DryStore, RunStore
from target_liveintent.target import TargetLiveIntent

if TYPE_CHECKING:
    from pathlib import Path

    from target_liveintent.run import RunParts


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the target work in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MELTANO_PROJECT_ROOT", raising=False)
    return tmp_path


def made(**settings: Any) -> TargetLiveIntent:
    return TargetLiveIntent(config={**ACCOUNT, **settings})


def parts_of(target: TargetLiveIntent) -> RunParts:
    return target.run._parts  # noqa: SLF001


def test_the_usual_parts(folder: Path) -> None:
    """Threads deliver, and the store is there before anything is read; only its owner reads it."""
    parts = parts_of(made())
    assert isinstance(parts.delivery, DeliveryPool)
    assert isinstance(parts.outcomes, RunStore)
    assert (folder / "liveintent.sqlite").stat().st_mode & 0o777 == 0o600
    parts.outcomes.close()


@pytest.mark.parametrize(
    ("kind", "limit", "replay"),
    [
        ("usual", None, None),
        ("canary", 5, None),
        ("replay", 5, ReplayChoice()),
    ],
)
def test_the_kind_of_a_run(kind: str, limit: int | None, replay: ReplayChoice | None) -> None:
    """The store knows it from the start, as a run may be killed."""
    target = TargetLiveIntent(config={**ACCOUNT, "limit": limit}, replay=replay)
    store = parts_of(target).outcomes
    assert isinstance(store, RunStore)
    assert store.database.read("SELECT kind FROM run") == [(kind,)]
    store.close()


@pytest.mark.parametrize("is_replay", [False, True])
def test_a_dry_run_has_neither_threads_nor_files(folder: Path, is_replay: bool) -> None:
    """It is one by a setting, which an option can give as well."""
    if is_replay:
        given = {**ACCOUNT, "dry_run": True}
        target = TargetLiveIntent(config=given, replay=ReplayChoice())
    else:
        target = made(dry_run=True)
    parts = parts_of(target)
    assert isinstance(parts.delivery, DryRun)
    assert isinstance(parts.outcomes, DryStore)
    assert target.settings.dry_run
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("name", ["store", "suppression_path"])
def test_a_file_that_cannot_be_used(folder: Path, name: str, dry_run: bool) -> None:
    """It is found before anything is read, and the run creates no file."""
    place = folder / "a-folder"
    place.mkdir()
    with pytest.raises(ConfigurationError, match=name):
        made(dry_run=dry_run, **{name: str(place)})
    assert list(folder.iterdir()) == [place]


def test_a_replay_reaches_its_end() -> None:
    """However many dead letters are rejected again, the others are sent."""
    given = {**ACCOUNT, "on_rejection": "fail", "max_dead_letter_percent": 1, "dry_run": True}
    target = TargetLiveIntent(config=given, replay=ReplayChoice())
    assert target.settings.max_dead_letter_percent == 100
    assert not target.settings.fail_on_rejection


def test_environment_variables_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that makes a target gives it all settings; only the command line reads them."""
    for name, value in {"PIXEL_ID": "8", "LIMIT": "x", "LEDGER_PATH": "y"}.items():
        monkeypatch.setenv(f"TARGET_LIVEINTENT_{name}", value)
    for options in ({}, {"parse_env_config": True}):
        target = TargetLiveIntent(config={**ACCOUNT, "dry_run": True}, **options)
        target.listen(io.StringIO(""))
        assert target.settings.limit is None
        assert target.settings.pixel_id == ACCOUNT.get("pixel_id")
