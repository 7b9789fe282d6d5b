"""A target that fails after a signal."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from target_liveintent.target import TargetLiveIntent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JANE = "jane.roe+x@example.com"


@pytest.fixture
def keep_signals() -> Iterator[None]:
    """Put the handlers of signals back."""
    kept = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("keep_signals")
@pytest.mark.parametrize("where", ["listen", "abandon"])
def test_a_stranger_after_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Of an unexpected exception after a signal the kind is logged, not the text."""
    config = {
        "customer_id": "a-1b2c",
        "auth_token": "a-token-of-unit-tests",
        "dead_letter_path": str(tmp_path / "letters.singer"),
    }
    target = TargetLiveIntent(config=config)
    said: list[str] = []  # As it is logged, before any handler could scrub it.
    monkeypatch.setattr(target.logger, "handle", lambda entry: said.append(entry.getMessage()))

    def listen(_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise KeyError(JANE if where == "listen" else "x")

    def abandon(_: BaseException) -> None:
        if where == "abandon":
            raise KeyError(JANE)

    monkeypatch.setattr(target, "listen", listen)
    monkeypatch.setattr(target.run, "abandon", abandon)
    with pytest.raises(SystemExit) as ended:
        target.process(None)
    assert ended.value.code == 128 + signal.SIGTERM
    log = "\n".join(said)
    assert "KeyError" in log
    assert "jane" not in log
