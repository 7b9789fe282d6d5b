"""A target: what it says after a signal, that it hides its token, and that it needs a log."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from target_liveintent import singer
from target_liveintent.privacy.redaction import without_secrets
from target_liveintent.run import ReplayChoice
from target_liveintent.target import TargetLiveIntent

ACCOUNT = {"customer_id": "a-1b2c", "auth_token": "t0ken-of-unit-tests"}
JANE = "jane.roe+x@example.com"


@pytest.fixture(autouse=True)
def keep_signals() -> Iterator[None]:
    """Put the handlers of signals back."""
    kept = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def target(tmp_path: Path) -> TargetLiveIntent:
    return TargetLiveIntent(config={**ACCOUNT, "store": str(tmp_path / "store.sqlite")})


@pytest.fixture
def said(target: TargetLiveIntent, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the target logs, before any handler could remove what is secret."""
    said: list[str] = []
    monkeypatch.setattr(target.logger, "handle", lambda entry: said.append(entry.getMessage()))
    return said


def stop(*_: object) -> tuple[()]:
    signal.raise_signal(signal.SIGTERM)
    return ()


def process(target: TargetLiveIntent, listen: Callable[[object], None]) -> object:
    """Let a target process what `listen` stands for; return the exit code."""
    with mock.patch.object(target, "listen", listen), pytest.raises(SystemExit) as ended:
        target.process(None)
    return ended.value.code


@pytest.mark.parametrize("where", ["listen", "abandon"])
def test_a_stranger_after_a_signal(
    target: TargetLiveIntent, said: list[str], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Of an unexpected exception after a signal the kind is logged, not the text."""

    def listen(_: object) -> None:
        stop(_)
        raise KeyError(JANE if where == "listen" else "x")

    def abandon(_: BaseException) -> None:
        if where == "abandon":
            raise KeyError(JANE)

    monkeypatch.setattr(target.run, "abandon", abandon)
    assert process(target, listen) == 128 + signal.SIGTERM
    log = "\n".join(said)
    assert ("KeyError" in log, "jane" in log) == (True, False)


@pytest.mark.parametrize(
    ("is_replay", "then"),
    [
        (False, "the next run continues from the last STATE"),
        (True, "run the replay again to send the rest"),
    ],
)
def test_the_last_line_after_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_replay: bool, then: str
) -> None:
    """It says where the next run goes on; a replay has no STATE, so no other run does."""
    request = ReplayChoice() if is_replay else None
    config = {**ACCOUNT, "store": str(tmp_path / "store.sqlite")}
    target = TargetLiveIntent(config=config, replay=request)
    said: list[str] = []
    monkeypatch.setattr(target.logger, "handle", lambda entry: said.append(entry.getMessage()))
    if is_replay:
        monkeypatch.setattr(singer, "replay_letters", stop)
        with pytest.raises(SystemExit) as ended:
            target.replay()
        assert ended.value.code == 128 + signal.SIGTERM
    else:
        process(target, stop)
    assert said[-1] == f"stopped by SIGTERM; {then} (run {target.run_id})"


@pytest.mark.parametrize(("seconds", "ends"), [(0.1, []), (2.1, [128 + signal.SIGTERM])])
def test_a_second_signal(
    target: TargetLiveIntent, monkeypatch: pytest.MonkeyPatch, seconds: float, ends: list[int]
) -> None:
    """A second signal ends the process at once, unless it came together with the first."""
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    real = time.monotonic

    def listen(_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr(time, "monotonic", lambda: real() + seconds)
        stop(_)

    process(target, listen)
    assert ended == ends


def test_a_dry_run_hides_the_token() -> None:
    """Nothing that is logged has the token, even if no client uses it."""
    TargetLiveIntent(config={**ACCOUNT, "auth_token": "t0ken-of-a-dry-run", "dry_run": True})
    assert without_secrets("with t0ken-of-a-dry-run") == "with ***"
