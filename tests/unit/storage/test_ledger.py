"""The ledger: the next run knows what was delivered and confirmed, and nothing else."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock
from ledger_support import (
    ACCOUNT,
    LATER,
    Ledgers,
    claim,
    event,
    events,
    fill,
    open_ledger,
    query,
    remember,
    rows,
    unsent,
)
from unit_support import NOW as TIME

from target_liveintent.conversions import DAY
from target_liveintent.errors import ConfigurationError, StorageError

NOW = int(TIME)

# What is known


def test_delivered_is_known(ledgers: Ledgers) -> None:
    """This run and the next one know it; the others keep their order."""
    ledger = ledgers()
    remember(ledger, *events(3))
    assert unsent(ledger, events(6)) == events(3, 6)
    ledger.close()
    assert unsent(ledgers(), [*events(6), *events(6)][::-1]) == events(3, 6)[::-1]


def test_only_what_is_confirmed(ledgers: Ledgers) -> None:
    """An event whose batch ended without a 204 stays unknown."""
    ledger = ledgers()
    batch = events(4)
    number, claimed = claim(ledger, batch)
    assert claimed.mine == batch
    ledger.end(number, batch[:1])
    ledger.write()
    assert unsent(ledger, batch) == batch[1:]
    assert rows(ledgers.path) == 1


def test_nothing_confirmed_writes_nothing(ledgers: Ledgers) -> None:
    """A batch without a confirmed event writes no row."""
    ledger = ledgers()
    number, _ = claim(ledger, [event()])
    ledger.end(number, [])
    ledger.write()
    assert rows(ledgers.path) == 0
    assert unsent(ledger, [event()]) == [event()]


@pytest.mark.parametrize(
    "other",
    [
        {"event_id": "2"},
        {"stream": "refunds"},
        {"pixel_id": 2},
        {"pixel_id": 11, "stream": "orders"},
        {"stream": "orders\0001", "event_id": ""},
        {"stream": "1", "event_id": "orders"},
    ],
)
def test_what_tells_events_apart(ledgers: Ledgers, other: dict[str, Any]) -> None:
    """Pixel ID, source stream and event ID make an event another one."""
    ledger = ledgers()
    remember(ledger, event())
    different = event(**other)
    assert unsent(ledger, [event(), different]) == [different]


@pytest.mark.parametrize(
    "changes",
    [
        {"customer_id": "b-1b2c"},
        {"host": "other.example"},
        {"customer_id": "a-1b2", "host": "cconversions.liveintent.com"},
        {"customer_id": "a-1b2cconversions.liveintent.com", "host": ""},
    ],
)
def test_what_tells_accounts_apart(ledgers: Ledgers, changes: dict[str, str]) -> None:
    """Customer ID and the API's host make an account another one."""
    remember(ledgers(), event())
    assert unsent(ledgers(ACCOUNT._replace(**changes)), [event()]) == [event()]
    assert unsent(ledgers(), [event()]) == []


def test_the_same_account_by_another_url(ledgers: Ledgers) -> None:
    """Port and path of the URL do not tell accounts apart."""
    remember(ledgers(), event())
    other = ledgers(url=f"https://{ACCOUNT.host}:8443/v2/conversions/a-1b2c")
    assert unsent(other, [event()]) == []


@pytest.mark.parametrize("again", [False, True], ids=["this run", "the next run"])
def test_a_changed_event_is_the_same(ledgers: Ledgers, again: bool) -> None:
    """Time, value and columns do not matter: a refund that changes an order is not sent."""
    ledger = ledgers()
    remember(ledger, event())
    changed = event(body=b'{"value":5}', columns={"value": 5}, expires_at=LATER + 500)
    assert unsent(ledgers() if again else ledger, [changed]) == []


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
    found = query(ledgers.path, "SELECT hex(key) FROM accepted")
    assert found == [("006B077680FDBDAE8F7615195FB054AA",)]


# When something was last accepted


def test_when_a_pixel_last_took_an_event(ledgers: Ledgers) -> None:
    """The time is kept for each account and pixel, as the clock is when the answer comes."""
    clock = FakeClock()
    ledger = ledgers(clock=clock)
    remember(ledger, event("1", expires_at=NOW + 9), event("2", expires_at=NOW + 9, pixel_id=7))
    clock.now += 60
    remember(ledger, event("3", expires_at=NOW + 99))
    other = ledgers(ACCOUNT._replace(customer_id="b-1b2c"), clock=clock)
    clock.now += 60
    remember(other, event("1", expires_at=NOW + 999))
    found = query(ledgers.path, "SELECT pixel_id, unix_time FROM last_accepted ORDER BY unix_time")
    assert found == [(7, NOW), (1, NOW + 60), (1, NOW + 120)]
    of_account = query(ledgers.path, "SELECT count(DISTINCT account) FROM last_accepted")
    assert of_account == [(2,)]


@pytest.mark.parametrize(
    "text", ["ü", "\x00", "'; DROP TABLE delivered; --", "\ud800", "", "x" * 9999]
)
def test_any_text_is_a_key(ledgers: Ledgers, text: str) -> None:
    """Stream and event ID may hold any characters."""
    ledger = ledgers()
    remember(ledger, event(text, stream=text))
    assert unsent(ledger, [event(text, stream=text), event()]) == [event()]


def test_a_full_batch_is_asked_at_once(ledgers: Ledgers) -> None:
    """The ledger answers for a hundred events, and for none."""
    ledger = ledgers()
    remember(ledger, *events(0, 100, 2))
    assert unsent(ledger, events(100)) == events(1, 100, 2)
    assert unsent(ledger, []) == []


# One event twice


def test_underway_once(ledgers: Ledgers) -> None:
    """An event that is being delivered waits, however it comes, until its outcome is known."""
    ledger = ledgers()
    number, _ = claim(ledger, [event()])
    changed = event(body=b"changed", expires_at=LATER + 5)
    _, second = claim(ledger, [event(), changed, event("2")])
    assert second == ([event("2")], [event(), changed], 0, None)
    ledger.end(number, [])
    _, third = claim(ledger, [event(), event("2")])
    assert third == ([event()], [event("2")], 0, None)


def test_within_one_batch_once(ledgers: Ledgers) -> None:
    """Of equal events, the first is sent, and the second waits for it."""
    first, second = event(body=b"first"), event(body=b"second")
    _, claimed = claim(ledgers(), [first, event("2"), second])
    assert claimed == ([first, event("2")], [second], 0, None)


# The end of a window


def test_expired_events_are_removed_little_by_little(ledgers: Ledgers) -> None:
    """With each batch, the oldest keys go, a few at a time, so that the file stops growing."""
    remember(ledgers(), event("there"))
    fill(ledgers.path, 1_000, NOW - 90 * DAY)
    ledger = ledgers()
    assert rows(ledgers.path) == 1_001
    for n in range(6):
        remember(ledger, event(str(n)))
        assert rows(ledgers.path) == max(1 + 1_000 - 200 * (n + 1), 1) + n + 1
    assert unsent(ledger, [event("there"), event("5"), event("new")]) == [event("new")]


def test_a_clock_that_is_wrong_by_30_days(ledgers: Ledgers) -> None:
    """What can still be sent by the right clock stays, and so does what expired a moment ago."""
    clock = FakeClock()
    ledger = ledgers(clock=clock)
    kept, gone = event("kept", expires_at=NOW), event("gone", expires_at=NOW - 1)
    remember(ledger, kept, gone)
    clock.now += 30 * DAY
    remember(ledger, event("3", expires_at=NOW + 31 * DAY))
    assert query(ledgers.path, "SELECT count(*) FROM accepted") == [(2,)]
    assert unsent(ledgers(), [gone, kept]) == [gone]


def test_a_run_that_sends_nothing_removes_nothing(ledgers: Ledgers) -> None:
    """However wrong the clock is: nothing is removed before the API has accepted something."""
    remember(ledgers(), *events(10))
    clock = FakeClock()
    clock.now += 10_000 * DAY
    ledger = ledgers(clock=clock)
    assert unsent(ledger, events(11)) == events(10, 11)
    assert rows(ledgers.path) == 10


# The file


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_only_the_owner_can_read_it(tmp_path: Path, mask: int) -> None:
    """The file and those beside it are made with mode 0600, whatever the umask."""
    before = os.umask(mask)
    try:
        ledger = open_ledger(tmp_path / "ledger.sqlite")
        remember(ledger, event())
        made = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        ledger.close()
    finally:
        os.umask(before)
    assert "ledger.sqlite" in made
    assert "ledger.sqlite-wal" in made
    assert set(made.values()) == {0o600}


def test_it_holds_nothing_personal(ledgers: Ledgers) -> None:
    """Keys only: neither event IDs nor streams nor columns can be read out of it."""
    ledger = ledgers()
    remember(ledger, event("ord3r-7", stream="s3cr3t", body=b"b0dy", columns={"a": "c0lumn"}))
    for path in ledgers.path.parent.iterdir():
        content = path.read_bytes()
        for word in (b"ord3r", b"s3cr3t", b"b0dy", b"c0lumn", b"a-1b2c", b"liveintent.com"):
            assert word not in content
    assert "ord3r" not in repr(ledger)


CORRUPT = {
    "text": b"not a database, but long enough to be taken for one " * 50,
    "header": b"SQLite format 3\x00" + b"\xff" * 4096,
    "letters": b'{"type": "SCHEMA", "stream": "liveintent_dead_letters"}\n' * 20,
}


@pytest.mark.parametrize("kind", CORRUPT)
def test_a_file_that_is_no_ledger(tmp_path: Path, kind: str) -> None:
    """A file of another kind is refused, named, and left as it is."""
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(CORRUPT[kind])
    with pytest.raises(ConfigurationError, match=r"ledger_path '.*ledger\.sqlite'") as raised:
        open_ledger(path)
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == CORRUPT[kind]


@pytest.mark.parametrize("table", ["delivered (id TEXT)", "delivered (key BLOB PRIMARY KEY)"])
def test_another_database(tmp_path: Path, table: str) -> None:
    """A database of something else is refused as well."""
    path = tmp_path / "ledger.sqlite"
    db = sqlite3.connect(path)
    db.execute(f"CREATE TABLE {table}")
    db.close()
    with pytest.raises(ConfigurationError, match="ledger_path"):
        open_ledger(path)


@pytest.mark.parametrize("path", [".", "nowhere/ledger.sqlite", "a\0b", "\ud800", "x" * 300])
def test_a_path_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """It is a wrong setting, named in one line."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="ledger_path") as raised:
        open_ledger(path)
    assert "\n" not in str(raised.value)


def test_the_reason_of_the_system(tmp_path: Path) -> None:
    """The message has the reason that the system gives, and the path once."""
    with pytest.raises(ConfigurationError) as raised:
        open_ledger(tmp_path)
    assert str(raised.value) == f"ledger_path '{tmp_path}' cannot be used: Is a directory"


def test_an_empty_file_becomes_a_ledger(ledgers: Ledgers) -> None:
    """The user may have created the file beforehand."""
    ledgers.path.touch(0o600)
    remember(ledgers(), event())
    assert unsent(ledgers(), [event()]) == []


def test_a_file_that_breaks_later(ledgers: Ledgers) -> None:
    """A ledger that can no longer be read or written ends the run with a `StorageError`."""
    remember(ledgers(), event("0"))
    one, two = ledgers(), ledgers()
    number, claimed = claim(one, [event()])
    query(ledgers.path, "DROP TABLE accepted")
    with pytest.raises(StorageError, match="ledger_path"):
        claim(two, [event()])
    one.end(number, claimed.mine)
    with pytest.raises(StorageError, match="ledger_path"):
        one.write()
    one.close()  # What has been said already is not said again.


def test_a_file_that_works_again(ledgers: Ledgers) -> None:
    """A batch that cannot be noted leaves no half of it, and nothing in the way of the next."""
    ledger = ledgers()
    remember(ledger, event("1"))
    query(ledgers.path, "ALTER TABLE last_accepted RENAME TO away")
    number, claimed = claim(ledger, [event("2")])
    ledger.end(number, claimed.mine)
    with pytest.raises(StorageError, match="no such table"):
        ledger.write()
    with pytest.raises(StorageError, match="no such table"):
        claim(ledger, [event("3")])
    assert rows(ledgers.path) == 1
    query(ledgers.path, "ALTER TABLE away RENAME TO last_accepted")
    remember(ledger, event("3"))
    assert unsent(ledgers(), events(1, 5)) == [event("4")]


def test_it_costs_little(ledgers: Ledgers) -> None:
    """An event costs a few microseconds of processor time, in batches of 100."""
    ledger = ledgers()
    all_events = [event(f"order-{n}") for n in range(20_000)]
    batches = [all_events[n : n + 100] for n in range(0, len(all_events), 100)]
    started = time.process_time()
    for number, batch in enumerate(batches):
        claimed = ledger.claim({number: batch})[number]
        ledger.end(number, claimed.mine)
        ledger.write()
    spent = (time.process_time() - started) / len(all_events)
    assert spent < 50e-6  # about 6 on an idle machine


def test_a_file_that_is_no_ledger_is_closed(tmp_path: Path) -> None:
    """What was opened before the failure is closed, and not when it is forgotten."""
    path = tmp_path / "ledger"
    path.write_bytes(b"no database " * 100)
    before = set(Path("/dev/fd").iterdir())
    with pytest.raises(ConfigurationError) as raised:
        open_ledger(path)
    assert set(Path("/dev/fd").iterdir()) == before
    assert "file is not a database" in str(raised.value)
