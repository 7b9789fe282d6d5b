"""A target: what it works with, as the settings and the command say, and what a signal does."""

import contextlib
import io
import json
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from unit_support import ACCOUNT, databases_closed

from target_liveintent.delivery.client import DryClient
from target_liveintent.errors import ConfigurationError
from target_liveintent.privacy.redaction import without_secrets
from target_liveintent.run.replay_converter import ReplayChoice
from target_liveintent.run.run import RunParts
from target_liveintent.store.run_store import DryStore, RunStore
from target_liveintent.target import TargetLiveIntent

JANE = "jane.roe+x@example.com"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let the target work in a folder of its own, and put the handlers of signals back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MELTANO_PROJECT_ROOT", raising=False)
    kept = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    with databases_closed(monkeypatch):
        yield tmp_path
    for number, handler in kept.items():
        signal.signal(number, handler)


def made(replay: ReplayChoice | None = None, **settings: Any) -> TargetLiveIntent:
    return TargetLiveIntent(config={**ACCOUNT, **settings}, replay=replay)


def parts_of(target: TargetLiveIntent) -> RunParts:
    return target.run._parts  # noqa: SLF001


@pytest.mark.parametrize(
    ("kind", "limit", "replay"),
    [
        pytest.param("usual", None, None, id="usual"),
        pytest.param("canary", 5, None, id="canary"),
        pytest.param("replay", 5, ReplayChoice(), id="replay"),
    ],
)
def test_the_kind_of_a_run(kind: str, limit: int | None, replay: ReplayChoice | None) -> None:
    """The store knows it from the start, as a run may be killed."""
    store = parts_of(made(replay, limit=limit)).outcomes
    assert isinstance(store, RunStore)
    assert store.database.read("SELECT kind FROM run") == [(kind,)]
    store.close()


def test_a_setting_that_does_not_exist(caplog: pytest.LogCaptureFixture) -> None:
    made(dry_run=True, pixel=1)
    assert "setting 'pixel' is unknown and has no effect" in caplog.text


@pytest.mark.parametrize("replay", [None, ReplayChoice()], ids=["of a run", "of a replay"])
def test_a_dry_run_has_no_files(folder: Path, replay: ReplayChoice | None) -> None:
    """It hides the token all the same."""
    how = {"auth_token": "t0ken-of-a-dry-run", "max_requests_per_minute": 1}
    parts = parts_of(made(replay, dry_run=True, **how))
    assert parts.delivery.status.rate is None
    assert isinstance(parts.delivery._client, DryClient)  # noqa: SLF001
    assert isinstance(parts.outcomes, DryStore)
    assert list(folder.iterdir()) == []
    assert without_secrets("with t0ken-of-a-dry-run") == "with ***"


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("name", ["store", "suppression_path"])
def test_a_file_that_cannot_be_used(folder: Path, name: str, dry_run: bool) -> None:
    """It ends the run before a record is read."""
    with pytest.raises(ConfigurationError, match=name):
        made(dry_run=dry_run, **{name: str(folder)}).process(io.StringIO())


def test_a_replay_reaches_its_end() -> None:
    """However many dead letters are rejected again, the others are sent."""
    given = {"on_rejection": "fail", "max_dead_letter_percent": 1, "dry_run": True}
    target = made(ReplayChoice(), **given)
    assert target.settings.max_dead_letter_percent == 100
    assert target.settings.on_rejection != "fail"


def test_environment_variables_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that makes a target gives it all settings; only the command line reads them."""
    for name, value in {"PIXEL_ID": "8", "LIMIT": "x", "LEDGER_PATH": "y"}.items():
        monkeypatch.setenv(f"TARGET_LIVEINTENT_{name}", value)
    for options in ({}, {"parse_env_config": True}):
        target = TargetLiveIntent(config={**ACCOUNT, "dry_run": True}, **options)
        target.listen(io.StringIO(""))
        assert (target.settings.limit, target.settings.pixel_id) == (None, None)


# Signals


def stop(*_: object) -> tuple[()]:
    signal.raise_signal(signal.SIGTERM)
    return ()


def log_of(target: TargetLiveIntent, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what the target logs from now on, before any handler could remove what is secret."""
    log: list[str] = []
    monkeypatch.setattr(target.logger, "handle", lambda entry: log.append(entry.getMessage()))
    return log


@pytest.mark.parametrize("where", ["listen", "abandon"])
def test_a_stranger_after_a_signal(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Of an unexpected exception after a signal the kind is logged, not the text."""
    target = made()
    log = log_of(target, monkeypatch)

    def listen(_: object) -> None:
        stop()
        raise KeyError(JANE if where == "listen" else "x")

    def abandon(_: BaseException) -> None:
        if where == "abandon":
            raise KeyError(JANE)

    monkeypatch.setattr(target, "listen", listen)
    monkeypatch.setattr(target.run, "abandon", abandon)
    with pytest.raises(SystemExit, match="143"):
        target.process(None)
    said = "\n".join(log)
    assert ("KeyError" in said, "jane" in said) == (True, False)
    assert ("a second failure followed: " in said) == (where == "abandon")
    with contextlib.closing(sqlite3.connect("liveintent.sqlite")) as database:
        ((figures,),) = database.execute("SELECT figures FROM run")
    ending = json.loads(figures)["ending"]
    assert (ending["signal"], ending["failure"]["code"]) == ("SIGTERM", "unexpected")


@pytest.mark.posix
@pytest.mark.parametrize(
    ("replay", "then"),
    [
        pytest.param(None, "the next run continues from the last STATE", id="a run"),
        pytest.param(ReplayChoice(), "run the replay again to send the rest", id="a replay"),
    ],
)
def test_the_last_line_after_a_signal(
    monkeypatch: pytest.MonkeyPatch, replay: ReplayChoice | None, then: str
) -> None:
    """It says where the next run goes on; a replay has no STATE, so no other run does."""
    target = made(replay)
    log = log_of(target, monkeypatch)
    monkeypatch.setattr(target, "listen", stop)
    monkeypatch.setattr("target_liveintent.target.replay_letters", stop)
    monkeypatch.setattr(target.run, "request_stop", lambda: log.append("asked to stop"))
    with pytest.raises(SystemExit, match="143"):
        target.process(None)
    assert log[0] == "asked to stop"
    assert signal.alarm(0) == 0  # Nothing ends the process later.
    assert log[-1] == f"stopped by SIGTERM; {then} (run {target.run_id})"
