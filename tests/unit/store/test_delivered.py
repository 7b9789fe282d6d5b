"""Rows of delivered events, what `forget` deletes, and the rows of runs."""

import contextlib
import csv
import json
from typing import Any

import pytest
from fakes import NOW, FakeClock
from store_support import MD5, Stores, event, rejection, said, send

from target_liveintent.store.deletion import forget_people
from target_liveintent.store.delivered import as_csv, delivered_in, delivered_messages
from target_liveintent.store.opening import dry_store_in, open_for_reading
from target_liveintent.store.run_store import RunStore
from target_liveintent.store.runs import runs_in

SENT = 1_785_600_000.25
PSEUDONYM = "0ab6bfa1-9a0c-5b53-8d29-0a21a8a1a1b2"
SHA2 = "06a240d11cc201676da976f7b49341181fd180da37cbe40a77432c0a366c80c3"


def rows(stores: Stores, since: float = 0.0, **changes: Any) -> list[dict[str, Any]]:
    """Return the delivered events of an account."""
    return list(delivered_in(stores.database(), stores.settings(**changes).account, since))


@pytest.fixture
def kept(stores: Stores) -> RunStore:
    """Give a run that has delivered three events."""
    store = stores(keep_delivered=True)
    send(store, 0, event("1"), event("2", value=None, order_id=None), event("3"))
    return store


def test_a_row_for_each_event(stores: Stores, kept: RunStore) -> None:
    """With the digits that were sent, once however often the event is sent."""
    again = stores(keep_delivered=True, send_again=True)
    send(again, 0, event("3"))
    found = rows(stores)
    assert [(row["event_id"], row["pixel_id"]) for row in found] == [("1", 1), ("2", 1), ("3", 1)]
    first, _, third = found
    assert first["run_id"] != third["run_id"]
    assert first["sent_at"] == "2026-08-01T16:00:00.250Z"
    assert (first["value"], first["currency"], first["md5"]) == ("12.50", "EUR", MD5)
    assert kept.number != again.number


def test_reading_creates_nothing(stores: Stores) -> None:
    """No file, and no table; a run that keeps no delivered events has no rows either."""
    for _ in range(2):
        with contextlib.closing(open_for_reading(stores.settings().storage)) as database:
            assert database.is_new
            assert database.read("SELECT count(*) FROM run") == [(0,)]
    send(stores(), 0, event())
    assert rows(stores) == []


def test_which_rows_are_read(
    stores: Stores, kept: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of one account, sent since a time, in several pages."""
    monkeypatch.setattr("target_liveintent.store.database._PAGE", 1)
    kept.note_delivered([event("4")], [SENT + 10], NOW)
    kept.write()
    assert [row["event_id"] for row in rows(stores)] == ["1", "2", "3", "4"]
    assert [row["event_id"] for row in rows(stores, SENT)] == ["1", "2", "3", "4"]
    assert [row["event_id"] for row in rows(stores, SENT + 1)] == ["4"]
    assert rows(stores, customer_id="b-1b2c") == []


@pytest.mark.usefixtures("kept")
def test_forms(stores: Stores) -> None:
    """As CSV, of which a spreadsheet takes no order number for a formula, and as a Singer stream.

    There, the SCHEMA comes first; what an event lacks is left out.
    """
    first = next(csv.DictReader(as_csv(rows(stores))))
    expected = {"event_time": "2026-07-31T12:13:20Z", "order_id": "'=1+1", "idfa": ""}
    assert first.items() >= {**expected, "md5": MD5, "value": "12.50"}.items()
    schema, first, *_ = map(json.loads, delivered_messages(rows(stores)))
    assert schema["key_properties"] == ["event_id", "stream", "pixel_id"]
    record = first["record"]
    assert record.keys() < schema["schema"]["properties"].keys()
    assert (record["sent_at"], record["value"]) == ("2026-08-01T16:00:00.250Z", 12.5)
    assert "idfa" not in record
    assert '"value":12.50' in list(delivered_messages(rows(stores)))[1]


@pytest.mark.parametrize(
    ("hashes", "left"),
    [([MD5], 0), (["0" * 32], 5), ([SHA2], 4)],
    ids=["by MD5", "nobody known", "by SHA-256"],
)
def test_forgetting_people(stores: Stores, hashes: list[str], left: int) -> None:
    """Each row that has one of the hashes goes, also where a hash replaced an address."""
    store = stores(keep_delivered=True)
    send(store, 0, event("1"), event("2"))
    store.note_rejected(rejection("3"), NOW)
    store.note_rejected(rejection("4", columns={"order_id": f"x {MD5} y"}), NOW)
    store.note_rejected(rejection("5", columns={"sha2": SHA2.upper(), "md5": MD5}), NOW)
    store.write()
    assert forget_people(store.database, [hashes]) == [5 - left]
    assert stores.is_postgres or store.database.read("PRAGMA synchronous") == [(2,)]  # At once.
    counts = "(SELECT count(*) FROM dead_letter) + (SELECT count(*) FROM delivered)"
    assert stores.sql(f"SELECT {counts}") == [(left,)]


TRACES = {
    "beside other digits": {"order_id": f"%3D{SHA2}ab"},
    "among many others": {
        "order_id": " ".join(f"{n:032x}" for n in range(2**124, 2**124 + 99)),
        "md5": MD5,
    },
    "of an ID": {"order_id": f"for{PSEUDONYM}"},
}


@pytest.mark.parametrize("columns", TRACES.values(), ids=TRACES)
def test_where_a_letter_is_found(stores: Stores, columns: dict[str, str]) -> None:
    """By each text that an address leaves, wherever it stands; no other letter goes."""
    store = stores()
    store.note_rejected(rejection("1", columns=columns), NOW)
    store.note_rejected(
        rejection("2", columns={"md5": f"{MD5[:8]}{'0' * 24}", "order_id": MD5[:-1]}), NOW
    )
    store.write()
    assert forget_people(store.database, [["0" * 32], [MD5, SHA2, PSEUDONYM]]) == [0, 1]
    assert [name for name, _, _ in stores.letters()] == ["2"]


def test_where_a_delivered_event_is_found(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its hashes, its ID and its stream, on any day, however many there are."""
    monkeypatch.setattr("target_liveintent.store.deletion._AT_ONCE", 2)
    store, other = stores(keep_delivered=True), stores(keep_delivered=True, customer_id="b-1b2c")
    about = [event(str(n), md5=None, sha2=SHA2) for n in range(5)]
    about += [event(PSEUDONYM, md5=None), event("1", md5=None, stream=f"of {SHA2}")]
    for run in (store, other):
        run.note_delivered([*about, event("9")], [SENT + 86_400 * n for n in range(8)], NOW)
        run.write()
    assert forget_people(store.database, [["0" * 32], [SHA2, PSEUDONYM]]) == [0, 14]
    assert stores.sql("SELECT event_id FROM delivered") == [("9",)] * 2


def test_the_history(stores: Stores) -> None:
    """Runs that are over, of one account and pixel; one that was killed has no figures."""
    clock = FakeClock()
    done, killed, going, task = (stores(clock) for _ in range(4))
    other = stores(clock, pixel_id=2)
    for store in (done, other):
        store.finish("done", '{"a": 1}')
    stores.sql("UPDATE run SET kind = 'task' WHERE number = ?", task.number)
    seconds = 40 if stores.is_postgres else 0
    stores.suspend(killed, seconds)
    stores.suspend(task, seconds)
    if not stores.is_postgres:
        clock.now += 31
        going.write(before_state=True)
    settings = stores.settings()
    found = list(runs_in(stores.database(clock), settings.account, 1, 0.0))
    names = dict(stores.sql("SELECT number, id FROM run"))
    assert [(run_id, figures) for run_id, _, _, figures in found] == [
        (names[done.number], '{"a": 1}'),
        (names[killed.number], None),
    ]
    assert list(runs_in(stores.database(), settings.account, 1, 9e9)) == []
    stores(clock)
    # A run without a pixel of its own continues no other one's, but its own.
    assert stores(pixel_id=None).former == ("a-1b2c", 1)
    assert stores(pixel_id=None).former is None


def test_a_dry_run(stores: Stores) -> None:
    """It finds what was delivered, and what comes twice, and changes nothing."""
    send(stores(), 0, event("1"))
    counts = "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM reservation)"
    before = stores.sql(counts)
    for again in (False, True):
        dry = dry_store_in(stores.database(), stores.settings().storage, "x", send_again=again)
        found = dry.claim({0: [event("1"), event("2"), event("2")], 1: [event("2"), event("3")]})
        first = (["1", "2"], ["2"], []) if again else (["2"], ["2"], ["1"])
        assert [*map(said, found.values())] == [first, (["3"], ["2"], [])]
        for number, claim in found.items():
            dry.note_confirmed(number, claim.mine, is_last=True)
        assert said(dry.claim({2: [event("2"), event("4")]})[2]) == (["4"], [], ["2"])
        dry.release({})
    assert (stores.sql(counts), dry.expired_letters) == (before, 0)
