"""The ledger of a dry run: it knows what was delivered and what comes twice, and writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger_support import event, events, remember, unsent

from target_liveintent.storage import Claim, ledger_preview
from target_liveintent.storage.ledger_preview import LedgerPreview

if TYPE_CHECKING:
    import pytest
    from ledger_support import Ledgers


def test_what_comes_twice() -> None:
    """Of equal events, the first would be sent, in one batch and in several."""
    preview = LedgerPreview(None)
    assert preview.unsent([*events(2), *events(2)]) == events(2)
    assert preview.unsent(events(3)) == events(2, 3)
    assert preview.unsent([event(pixel_id=9)]) == [event(pixel_id=9)]
    assert preview.waits_for == ""
    preview.close()


def test_what_was_delivered(ledgers: Ledgers) -> None:
    """What an earlier run has delivered is known; what the dry run shows is not noted."""
    remember(ledgers(), *events(2))
    ledgers.close()
    before = ledgers.path.read_bytes()
    preview = LedgerPreview(ledgers())
    batch = events(4)
    assert preview.claim({0: batch, 1: batch}) == {
        0: Claim(events(2, 4), [], 2),
        1: Claim([], [], 4),
    }
    preview.end(0, batch)
    preview.write()
    assert (preview.waits_for, preview.is_kept) == ("", False)
    preview.close()
    assert ledgers.path.read_bytes() == before
    assert unsent(ledgers(), batch) == events(2, 4)


def test_how_much_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long dry run forgets what it has shown long before, so its memory is bounded."""
    monkeypatch.setattr(ledger_preview, "_MOST_REMEMBERED", 2)
    preview = LedgerPreview(None)
    assert preview.unsent(events(2)) == events(2)
    assert preview.unsent(events(1)) == []
    assert preview.unsent(events(2, 3)) == events(2, 3)
    assert preview.unsent(events(3)) == events(2)
