"""What a new version of the program must know of a store that this version wrote.

These tests share no code with the store. If one fails, an upgrade sends every event again: do not
change what they expect, but the code.
"""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from fakes import FakeClock
from store_support import Stores, claim, event, said

from target_liveintent.settings import Account
from target_liveintent.store import deduplication
from target_liveintent.store.dead_letters import letters_in
from target_liveintent.store.deduplication import Deduplicator
from target_liveintent.store.delivered import delivered_in
from target_liveintent.store.opening import open_store
from target_liveintent.store.runs import runs_in

ACCOUNT = Account("a-1b2c", "conversions.liveintent.com")
EXPIRES_AT = 0x006A6F6980
OF_VERSION_3 = Path(__file__).with_name("store_version_3.sql")
"""A store that version 3 of the layout wrote, as SQL, with the events `order-1` and `order-2`."""


@pytest.mark.parametrize(
    ("account", "pixel_id", "stream", "event_id", "hashed"),
    [
        pytest.param(ACCOUNT, 12345, "orders", "order-1", "01bf656abd0943de97ae57", id="ascii"),
        pytest.param(
            Account("b-2c3d", "api.example"),
            7,
            'Bestellungen für "ä"',
            "a\u0301/1 €",
            "7c0e90ba65c41ef9c157de",
            id="unicode",
        ),
    ],
)
def test_the_bytes_of_a_key_never_change(
    account: Account, pixel_id: int, stream: str, event_id: str, hashed: str
) -> None:
    r"""Five bytes are the time at which the event expires; the others are a hash of its identity.

    `printf '%s\0%s\0%s\0%s\0%s' CUSTOMER HOST PIXEL STREAM ID | b2sum -l 88` prints the hash.
    """
    given = event(event_id, pixel_id=pixel_id, stream=stream, expires_at=EXPIRES_AT)
    assert [key.hex() for key in Deduplicator(account).keys_of([given])] == [f"006a6f6980{hashed}"]


@pytest.mark.parametrize("found_by", ["its hash in memory", "its key in the store"])
def test_what_an_earlier_version_delivered_is_not_sent_again(
    in_file: Stores, monkeypatch: pytest.MonkeyPatch, found_by: str
) -> None:
    """A run knows the newest events by their hashes, and all others by their keys in the store.

    The run also knows the dead letters, the delivered events and the runs of that version.
    """
    if found_by == "its key in the store":
        monkeypatch.setattr(deduplication, "RECENT", 1)  # The run remembers only `order-2`.
    with contextlib.closing(sqlite3.connect(in_file.place)) as file:
        file.executescript(OF_VERSION_3.read_text())
    settings = in_file.settings(pixel_id=12345)
    with contextlib.closing(open_store(settings.storage, "run-2", FakeClock())) as store:
        names = ["order-1", "order-2", "order-3"]
        given = [event(name, pixel_id=12345, expires_at=EXPIRES_AT) for name in names]
        assert said(claim(store, 0, *given)) == (["order-3"], [], ["order-1", "order-2"])
        assert [key.event_id for key, _ in letters_in(store.database)] == ["order-3"]
        delivered = delivered_in(store.database, ACCOUNT, 0.0)
        assert [row["event_id"] for row in delivered] == ["order-1", "order-2"]
        (run,) = runs_in(store.database, ACCOUNT, 12345, 0.0)
        assert (run[1], run[3]) == ("usual", "{}")
