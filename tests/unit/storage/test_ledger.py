"""The ledger: the next run knows what was delivered and confirmed, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes import FakeClock
from ledger_support import ACCOUNT, LATER, claim, event, events, remember, unsent
from unit_support import DAY
from unit_support import NOW as TIME

from target_liveintent.errors import StorageError
from target_liveintent.storage import Claim, ledger_preview
from target_liveintent.storage.ledger_preview import LedgerPreview

if TYPE_CHECKING:
    from ledger_support import Ledgers

NOW = int(TIME)

# What is known


def test_what_tells_events_apart(ledgers: Ledgers) -> None:
    """Pixel ID, source stream and event ID do, whatever characters they hold."""
    texts = ["ü", "\x00", "'; DROP TABLE delivered; --", "\ud800", "", "x" * 9999]
    known = [event(), *(event(text, stream=text) for text in texts)]
    others = [
        event("2"),
        event(stream="refunds"),
        event(pixel_id=2),
        event(pixel_id=11),
        event("", stream="orders\0001"),
        event("orders", stream="1"),
    ]
    remember(ledgers(), *known)
    assert unsent(ledgers(), [*known, *others]) == others


def test_what_tells_accounts_apart(ledgers: Ledgers) -> None:
    """Customer ID and the API's host do; port and path of the URL do not."""
    remember(ledgers(), event())
    for changes in (
        {"customer_id": "b-1b2c"},
        {"host": "other.example"},
        {"customer_id": "a-1b2", "host": "cconversions.liveintent.com"},
        {"customer_id": "a-1b2cconversions.liveintent.com", "host": ""},
    ):
        assert unsent(ledgers(ACCOUNT._replace(**changes)), [event()]) == [event()]
    other = ledgers(url=f"https://{ACCOUNT.host}:8443/v2/conversions/a-1b2c")
    assert unsent(other, [event()]) == []


def test_a_changed_event_of_long_ago(ledgers: Ledgers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of events that are not among the newest, only those with the same time are the same."""
    monkeypatch.setattr("target_liveintent.storage.ledger._RECENT", 3)
    ledger = ledgers()
    for first in range(0, 9, 3):
        remember(ledger, *[event(str(n), expires_at=LATER + n) for n in range(first, first + 3)])
    same = [event(str(n), expires_at=LATER + n, body=b"changed") for n in range(9)]
    moved = [event(str(n), expires_at=LATER + n + 500) for n in range(9)]
    for one in (ledger, ledgers()):
        assert unsent(one, same) == []
    assert unsent(ledger, moved) == moved[:3]
    assert unsent(ledgers(), moved) == moved[:6]


def test_keys_are_pinned(ledgers: Ledgers) -> None:
    """A new release must know what the last one delivered."""
    remember(ledgers(), event("1007", expires_at=1_795_651_200))
    found = ledgers.query("SELECT hex(key) FROM accepted")
    assert found == [("006B077680FDBDAE8F7615195FB054AA",)]


def test_it_holds_nothing_personal(ledgers: Ledgers) -> None:
    """Keys only: neither event IDs nor streams nor columns can be read out of it."""
    ledger = ledgers()
    remember(ledger, event("ord3r-7", stream="s3cr3t", body=b"b0dy", columns={"a": "c0lumn"}))
    for path in ledgers.path.parent.iterdir():
        content = path.read_bytes()
        for word in (b"ord3r", b"s3cr3t", b"b0dy", b"c0lumn", b"a-1b2c", b"liveintent.com"):
            assert word not in content
    assert "ord3r" not in repr(ledger)


# The end of a window


def test_expired_events_are_removed_little_by_little(any_ledgers: Ledgers) -> None:
    """With each batch, the oldest keys go, a few at a time, so that the store stops growing."""
    remember(any_ledgers(), event("there"))
    any_ledgers.fill(500, NOW - 90 * DAY)
    ledger = any_ledgers()
    left = []
    for n in range(3):
        remember(ledger, event(str(n)))
        left.append(any_ledgers.rows())
    assert left == [302, 103, 4]
    assert unsent(ledger, [event("there"), event("2"), event("new")]) == [event("new")]


def test_a_clock_that_is_wrong_by_30_days(ledgers: Ledgers) -> None:
    """What can still be sent by the right clock stays, and so does what expired a moment ago."""
    clock = FakeClock()
    ledger = ledgers(clock=clock)
    kept, gone = event("kept", expires_at=NOW), event("gone", expires_at=NOW - 1)
    remember(ledger, kept, gone)
    clock.now += 30 * DAY
    remember(ledger, event("3", expires_at=NOW + 31 * DAY))
    assert ledgers.rows() == 2
    assert unsent(ledgers(), [gone, kept]) == [gone]


def test_a_run_that_sends_nothing_removes_nothing(ledgers: Ledgers) -> None:
    """However wrong the clock is: nothing is removed before the API has accepted something."""
    remember(ledgers(), *events(10))
    clock = FakeClock()
    clock.now += 10_000 * DAY
    assert unsent(ledgers(clock=clock), events(11)) == events(10, 11)
    assert ledgers.rows() == 10


# A store that fails


@pytest.mark.parametrize("table", ["last_accepted", "accepted"])
def test_a_store_that_works_again(any_ledgers: Ledgers, table: str) -> None:
    """A batch that cannot be noted leaves no half of it, and nothing in the way of the next."""
    ledger = any_ledgers()
    remember(ledger, event("1"))
    number, claimed = claim(ledger, [event("2")])
    ledger.end(number, claimed.mine)
    any_ledgers.query(f"ALTER TABLE {table} RENAME TO away")
    for ask in (ledger.write, lambda: claim(ledger, [event("3")])):
        with pytest.raises(StorageError, match=r"ledger_(path|url).*(no such|does not exist)"):
            ask()
    any_ledgers.query(f"ALTER TABLE away RENAME TO {table}")
    assert any_ledgers.rows() == 1
    remember(ledger, event("3"))
    assert unsent(any_ledgers(), events(1, 5)) == [event("4")]
    ledger.end(claim(ledger, [event("4")])[0], [event("4")])
    any_ledgers.query(f"ALTER TABLE {table} RENAME TO away")
    with pytest.raises(StorageError):
        ledger.write()  # What has been said already is not said again when the ledger is closed.


# A dry run


def test_a_dry_run_without_a_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of equal events, the first would be sent; one that was shown long before is forgotten."""
    preview = LedgerPreview(None)
    assert preview.unsent([*events(2), *events(2)]) == events(2)
    assert preview.unsent([*events(3), event(pixel_id=9)]) == [event("2"), event(pixel_id=9)]
    assert preview.waits_for == ""
    preview.close()
    monkeypatch.setattr(ledger_preview, "_MOST_REMEMBERED", 2)
    preview = LedgerPreview(None)
    found = [preview.unsent(one) for one in (events(2), events(1), events(2, 3), events(3))]
    assert found == [events(2), [], events(2, 3), events(2)]


def test_a_dry_run_with_a_ledger(ledgers: Ledgers) -> None:
    """What an earlier run has delivered is known; what the dry run shows is not noted."""
    remember(ledgers(), *events(2))
    ledgers.close()
    before = ledgers.path.read_bytes()
    preview = LedgerPreview(ledgers())
    batch = events(4)
    claims = preview.claim({0: batch, 1: batch})
    assert claims == {0: Claim(events(2, 4), [], 2), 1: Claim([], [], 4)}
    preview.end(0, batch)
    preview.write()
    assert (preview.waits_for, preview.is_kept) == ("", False)
    preview.close()
    assert ledgers.path.read_bytes() == before
    assert unsent(ledgers(), batch) == events(2, 4)
