"""Dead letters as rows: which row a record has, and when the row goes."""

import functools
import json
import sqlite3
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import psycopg
import pytest
from fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from store_support import MD5, Stores, claim, event, fail_next, rejection, said, send
from unit_support import NOW, SETTINGS

from target_liveintent.conversions.event_model import LetterKey
from target_liveintent.errors import StorageError
from target_liveintent.store.database import Answers, Attempts
from target_liveintent.store.dead_letters import (
    imported,
    letter_messages,
    letter_of,
    letters_in,
    newest_id,
    stored_stream,
    utc,
)
from target_liveintent.store.deletion import delete_letters
from target_liveintent.store.layout import DEAD_LETTER, Step
from target_liveintent.store.opening import run_store_in
from target_liveintent.store.runs import TASK

DAY = 86_400
WHOSE = SETTINGS.account, SETTINGS.events


def test_a_record_that_is_rejected_again(stores: Stores) -> None:
    """It replaces its row, in the same run and in a later one."""
    for reason in ("invalid_event_time", "invalid_source"):
        store = stores()
        store.note_rejected(rejection("1"), NOW)
        store.note_rejected(rejection("1", reason), NOW)
        store.note_rejected(rejection("2"), NOW)
        store.write()
        assert stores.letters() == [("1", reason, 1), ("2", "invalid_event_time", 1)]


@pytest.mark.parametrize("is_written", [False, True], ids=["noted", "written"])
def test_whether_an_event_was_refused(stores: Stores, *, is_written: bool) -> None:
    """The newest outcome of the event says so, even before it is written."""
    before = stores()
    before.note_rejected(rejection("1", "refused_by_api"), NOW)
    before.release({})
    store = stores()
    mine = claim(store, 0, event("1"), event("2")).mine
    assert [each.was_refused for each in mine] == [True, False]
    store.note_rejected(rejection("1", "event_too_old"), NOW)
    store.note_confirmed(0, [], is_last=True)
    if is_written:
        store.write()
    (again,) = claim(store, 1, event("1")).mine
    assert not again.was_refused


def test_what_is_missing(stores: Stores) -> None:
    """Dead letters have the value that an event would have, if they have a currency, too."""
    columns = [
        {"value": "$12.50", "currency": " eur "},
        {"value": 0.1, "currency": "EUR"},
        {"value": -3, "currency": "USD"},
        *({"value": "x", "currency": "EUR"}, {"value": 5}, {"value": 5, "currency": "?"}, {}),
    ]
    for repeated in (1, 8):
        store = stores()
        for number, one in enumerate(columns):
            store.note_rejected(rejection(str(number), columns=one), NOW)
        store.note_rejected(rejection("0", columns=columns[0]), NOW)
        store.write()
        assert store.repeated_letters == {"invalid_event_time": repeated}
        rows = stores.sql("SELECT value, currency FROM dead_letter WHERE currency IS NOT NULL")
        values = sorted((currency, Decimal(value)) for value, currency in rows)
        expected = [("EUR", Decimal("0.1")), ("EUR", Decimal("12.50")), ("USD", Decimal(-3))]
        assert values == expected


def test_what_a_row_has(stores: Stores) -> None:
    """Columns for queries, and the columns of the stream of dead letters as JSON."""
    store = stores(FakeClock())
    store.note_rejected(
        rejection("7", columns={"value": "x", "md5": MD5}, detail="no time at all"), NOW
    )
    store.write()
    columns = ", ".join(name for name in DEAD_LETTER.columns if name != "record")
    (row,) = stores.sql(f"SELECT {columns}, CAST(record AS TEXT) FROM dead_letter")  # noqa: S608
    account = {"customer_id": "a-1b2c", "api_host": "conversions.liveintent.com"}
    shared = {"stream": "orders", "event_id": "7", "reason": "invalid_event_time"}
    shared |= {"field": "event_time", "detail": "no time at all"}
    *found, text = row
    assert dict(zip(columns.split(", "), found, strict=True)) == {
        **account,
        **shared,
        "pixel_id": 1,
        "written_at": 1_785_600_000,
        "window_end": None,
        "run": store.number,
        "value": None,
        "currency": None,
        "hashes": MD5[:8],
        "run_pixel_id": 1,
        "first_read": NOW,
        "first_run": store.number,
        "first_transaction": 1,
    }
    ((run_id,),) = stores.sql("SELECT id FROM run")
    assert json.loads(text) == {
        **shared,
        "value": "x",
        "md5": MD5,
        "run_id": run_id,
        "time": "2026-08-01T16:00:00Z",
        "written_for": {**account, "pixel_id": 1},
    }


@pytest.mark.parametrize("is_done", [True, False], ids=["done", "not done"])
def test_a_commit_whose_answer_is_lost(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    """The transaction is made again, and no dead letter counts as repeated because of that."""
    letters = [
        rejection(event_id, columns={"value": value, "currency": "EUR"})
        for event_id, value in (("before", 1), ("own", 2), ("new", 4))
    ]
    earlier = stores()
    earlier.note_rejected(letters[0], NOW)
    earlier.release({})
    store = stores(attempts=Attempts(sleep=lambda _: None))
    store.note_rejected(letters[1], NOW)
    store.write()
    failure: Exception = psycopg.OperationalError()
    if not stores.is_postgres:
        failure = sqlite3.OperationalError("database is locked")
    transact = store.database._transact  # noqa: SLF001 (what repeats a transaction calls it)

    def lose_the_answer(steps: Sequence[Step]) -> Answers:
        monkeypatch.undo()
        if is_done:
            transact(steps)
        raise failure

    monkeypatch.setattr(store.database, "_transact", lose_the_answer)
    # A replay rejects the first one again, and so replaces it.
    key = LetterKey(*stores.settings().account, "orders", "before", 1)
    for letter in (msgspec.structs.replace(letters[0], letter=key), *letters[1:]):
        store.note_rejected(letter, NOW)
    store.write()
    assert [event_id for event_id, _, _ in stores.letters()] == ["before", "new", "own"]
    assert store.repeated_letters == {"invalid_event_time": 2}
    store.write(before_state=True)  # All transactions count once.


@pytest.mark.parametrize("how", ["delivered", "sent before"])
def test_a_delivered_event_deletes_its_letter(stores: Stores, how: str) -> None:
    """In the same commit; also one of a map that failed: it might have given another pixel."""
    if how == "sent before":
        send(stores(), 0, event("1"))
    store = stores()
    store.note_rejected(rejection("1"), NOW)
    store.note_rejected(rejection("1", "mapping_failed", columns={}, keys={"id": 1}), NOW)
    store.note_rejected(rejection("2"), NOW)
    store.write()
    assert stores.letters()[0] == ("1", "mapping_failed", 0)
    assert len(stores.letters()) == 3
    other = stores()
    found = claim(other, 0, event("1"))
    if how != "sent before":
        other.note_delivered(found.mine, [0.0], NOW)
        assert len(stores.letters()) == 3
    other.write()
    assert stores.letters() == [("2", "invalid_event_time", 1)]


def test_a_letter_that_another_run_writes_too_late(stores: Stores) -> None:
    """It goes with the delivery, also if the store had no letters when the event was reserved."""
    store, other = stores(), stores()
    mine = claim(store, 0, event("1"), event("2"), event("3")).mine
    for number in "134":  # The other run does so when the reservations have expired.
        other.note_rejected(rejection(number), NOW)
    other.write()
    store.note_delivered(mine, [0.0] * 3, NOW)
    store.note_rejected(rejection("3"), NOW)  # A newer record with this ID.
    store.write()
    assert [event_id for event_id, _, _ in stores.letters()] == ["3", "4"]


def test_which_letters_stay(stores: Stores) -> None:
    """Those of other events; within a transaction, the last outcome counts."""
    store = stores()
    store.note_rejected(rejection("1"), NOW)
    store.note_delivered([event("1")], [0.0], NOW)
    store.note_delivered([event("2")], [0.0], NOW)
    store.note_rejected(rejection("2"), NOW)
    others = [event("2", pixel_id=2), event("2", stream="refunds"), event("02")]
    send(store, 0, *others)
    assert stores.letters() == [("2", "invalid_event_time", 1)]


def test_a_replayed_letter(stores: Stores) -> None:
    """The row that a replay has read goes, also where its key is that of another account."""
    store = stores(pixel_id=None)
    account = {"customer_id": "b-1b2c", "api_host": "a.example", "pixel_id": 5}
    record = {"stream": "orders", "reason": "invalid_source", "written_for": account}
    letters = [stores.imported({**record, "event_id": name}) for name in "123"]
    keys = [LetterKey("b-1b2c", "a.example", "orders", name, 5) for name in "123"]
    assert [letter.key for letter in letters] == keys
    store.import_letters(letters)
    store.note_delivered([event("1", letter=keys[0])], [0.0], NOW)
    store.note_rejected(rejection("2", letter=keys[1], columns={"pixel_id": 1}), NOW)
    store.note_rejected(rejection("3", "expired", letter=keys[2]), NOW)
    store.write()
    assert stores.letters() == [("2", "invalid_event_time", 1)]


def test_a_letter_without_a_reason(stores: Stores) -> None:
    """Whoever edits an export may remove it; the letter can be imported twice all the same."""
    letter = stores.imported({"stream": "orders", "event_id": "1"})
    for _ in range(2):
        stores().import_letters([letter])
    assert len(stores.letters()) == 1


@pytest.mark.parametrize("at", range(12))
def test_a_transaction_that_fails(stores: Stores, at: int) -> None:
    """It does nothing but to note what was confirmed; the next one does all of it."""
    store = stores(keep_delivered=True)
    for n in "ab":
        store.note_rejected(rejection(n), NOW)
    store.write()
    mine = claim(store, 0, event("a")).mine
    store.note_delivered(mine, [1.0], NOW)
    store.note_confirmed(0, mine, is_last=True)
    store.note_rejected(rejection("c"), NOW)
    before = stores.letters()
    fail_next(store, at)
    with pytest.raises(StorageError):
        store.write()
    assert stores.letters() == before
    assert len(stores.sql("SELECT key FROM event")) == 1
    store.write()
    assert [name for name, _, _ in stores.letters()] == ["b", "c"]
    assert len(stores.sql("SELECT key FROM event")) == 1
    assert len(stores.sql("SELECT run FROM delivered")) == 1


def test_each_letter_is_read_once(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while a run writes some of them again."""
    monkeypatch.setattr("target_liveintent.store.database._PAGE", 2)
    store = stores()
    for n in range(5):
        store.note_rejected(rejection(str(n)), NOW)
    store.write()
    seen = []
    for found, text in letters_in(store.database):
        seen.append(found.event_id)
        assert json.loads(text)["event_id"] == found.event_id
        store.note_rejected(rejection(found.event_id, "invalid_source"), NOW)
        store.write()
    assert seen == ["0", "1", "2", "3", "4"]
    other = stores()
    other.note_rejected(rejection("9"), NOW)
    other.write()
    for run, others in ((store, "9"), (other, "01234")):
        letters = letters_in(store.database, run.number)
        assert [found.event_id for found, _ in letters] == [*others]


def test_export_and_import(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imported letters take the places of those with their keys; addresses are removed again."""
    monkeypatch.setattr("target_liveintent.store.run_store._MOST_IMPORTED", 1)
    store = stores()
    store.note_rejected(rejection("1"), NOW)
    store.note_rejected(rejection("2", "mapping_failed", columns={}, keys={"id": 2}), NOW)
    store.write()
    schema, *exported = letter_messages(text for _, text in letters_in(store.database))
    assert json.loads(schema)["schema"]["properties"].keys() >= {"event_id", "reason", "keys"}
    records = [json.loads(line)["record"] for line in exported]
    records[0] |= {"order_id": "buyer@example.com", "unknown": 1, "scrubbed": 5}
    other = stores()
    other.import_letters(stores.imported(one) for one in records)
    assert stores.letters() == [("1", "invalid_event_time", 1), ("2", "mapping_failed", 0)]
    text = next(text for found, text in letters_in(other.database) if found.event_id == "1")
    assert "buyer@example.com" not in text
    assert "unknown" not in text


@given(
    record=st.dictionaries(
        st.sampled_from(["event_id", "stream", "reason", "time", "written_for", "keys", "value"]),
        st.none() | st.integers() | st.text() | st.lists(st.text()) | st.floats(allow_nan=False),
    )
)
def test_any_letter_can_be_imported(record: dict[str, Any]) -> None:
    """Whatever somebody has written into it, it becomes a row that any database takes."""
    letter = imported(record, *WHOSE)
    row = letter.row(1, NOW)
    texts = [value for value in (*letter.key, *row) if isinstance(value, str)]
    assert not any("\0" in text for text in texts)
    "".join(texts).encode()
    assert msgspec.json.decode(row[-1]).keys() <= record.keys() | {"scrubbed"}


def test_texts_that_no_database_takes(stores: Stores) -> None:
    """They are stored in another form, by which they are found again."""
    stored = {"a\0b": "a\ufffdb", "x": "x", "é": "é"}
    store = stores()
    for text in stored:
        store.note_rejected(rejection(text), NOW)
    store.write()
    assert [name for name, _, _ in stores.letters()] == [*stored.values()]
    send(store, 0, *map(event, stored))
    assert stores.letters() == []


def test_deleting_by_reason(stores: Stores) -> None:
    """Only the letters of one account and pixel, and those without a pixel."""
    for changes in ({}, {"pixel_id": 2}, {"customer_id": "b-1b2c"}):
        store = stores(**changes)
        store.note_rejected(rejection("1"), NOW)
        store.note_rejected(rejection("2", "invalid_source"), NOW)
        store.note_rejected(rejection("3", "invalid_pixel_id", columns={"pixel_id": "x"}), NOW)
        store.write()
    settings = stores.settings()
    for reason, count, left in (
        ("invalid_event_time", 1, 7),
        ("invalid_pixel_id", 1, 6),
        ("no_identity", 0, 6),
    ):
        assert delete_letters(store.database, settings.account, 1, reason) == count
        assert len(stores.letters()) == left
    assert delete_letters(store.database, settings.account, None, "invalid_source") == 2


def test_letters_go_after_the_days_of_the_history(stores: Stores) -> None:
    """The next run counts them; so do runs and delivered events go, but no run that is alive."""
    old, alive = stores(keep_delivered=True), stores()
    old.note_rejected(rejection("bad"), NOW)
    send(old, 0, event("good"))
    old.finish("done", "{}")
    for days, age, letters, runs in ((10, 10, 1, 3), (1, 11, 0, 3)):
        for place in ("dead_letter SET written_at = written_at", "run SET started_at = started_at"):
            stores.sql(f"UPDATE {place} - ?", days * DAY + 1)
        ended = "UPDATE run SET alive_until = alive_until - ? WHERE ended_at IS NOT NULL"
        stores.sql(ended, days * DAY + 1)
        stores.sql("UPDATE delivered SET sent_at = ?", time.time() - age * DAY - 9)
        settings = stores.settings(history_days=11)
        # A task deletes nothing.
        run_store_in(stores.database(), settings.storage, "a task's", kind=TASK).close()
        young = stores(history_days=11)
        assert young.expired_letters == 1 - letters
        young.finish("done", "{}")
        assert len(stores.letters()) == letters
        assert stores.sql("SELECT count(*) FROM run") == [(runs,)]
        assert stores.sql("SELECT count(*) FROM delivered") == [(letters,)]
    assert stores.sql("SELECT number FROM run WHERE number = ?", alive.number) != []


CLOSED = "its window has closed"


@pytest.mark.parametrize(
    ("source", "time", "detail", "end", "said"),
    [
        pytest.param("web", NOW - 60, None, NOW + 7 * DAY - 120, None, id="open"),
        pytest.param("web", NOW - 8 * DAY, None, NOW - DAY - 60, CLOSED, id="closed long ago"),
        pytest.param("web", NOW - 7 * DAY + 60, None, NOW, CLOSED, id="closes before a replay"),
        # Without a usable source, the longest window counts. What else is wrong is said first.
        pytest.param(
            "till", NOW - 8 * DAY, None, NOW + 22 * DAY - 60, None, id="no usable source, open"
        ),
        pytest.param(
            "till", NOW - 31 * DAY, None, NOW - DAY - 60, CLOSED, id="no usable source, closed"
        ),
        pytest.param(
            "till",
            NOW - 31 * DAY,
            "'till'",
            NOW - DAY - 60,
            "'till'",
            id="another fault is said first",
        ),
        pytest.param(
            "web", "9999-12-25T00:00:59Z", None, 253_402_300_799, None, id="the last second"
        ),
        pytest.param(
            "web", "9999-12-25T00:01:00Z", None, None, None, id="after year 9999"
        ),  # A year without a name.
    ],
)
def test_the_end_of_the_window(
    source: str, time: Any, detail: str | None, end: float | None, said: str | None
) -> None:
    """The letter and its row have it, also after export and import; no replay can send it then."""
    columns = {"event_time": time, "source": source}
    given = rejection("1", "invalid_source", columns=columns, detail=detail)
    letter = letter_of(given, *WHOSE, "run-1", NOW)
    assert letter.record.get("window_end") == (end and utc(end))
    row = dict(zip(DEAD_LETTER.columns, (*letter.row(1, NOW), 1, NOW, 1, 1), strict=True))
    assert row["detail"] == letter.record.get("detail") == said
    assert row["window_end"] == imported(letter.record, *WHOSE).window_end == end


def test_no_text_of_a_letter_has_an_address() -> None:
    """Whatever its columns, its cause and its stream say, the record and the row have hashes."""
    columns = {"order_id": "of buyer@example.com"}
    given = rejection("1", columns=columns, detail="no time for buyer@example.com")
    given = msgspec.structs.replace(given, stream="buyer@example.com", field="buyer@example.com")
    letter = letter_of(given, *WHOSE, "run-1", NOW)
    assert "example.com" not in f"{letter.record} {letter.row(1, NOW)}"
    assert str(letter.record["detail"]).startswith("no time for ")


def test_a_letter_without_an_account(stores: Stores) -> None:
    """One without a usable pixel was written for no account."""
    settings = stores.settings(pixel_id=None)
    letter = letter_of(rejection("1"), settings.account, settings.events, "run-1", 0.0)
    assert "written_for" not in letter.record
    assert letter.key.pixel_id == 0
    own = letter_of(
        rejection("1", columns={"pixel_id": 9}), settings.account, settings.events, "run-1", 0.0
    )
    assert own.record["written_for"].keys() == {"customer_id", "api_host"}
    assert own.key.pixel_id == 9


def test_values_that_an_index_or_a_column_cannot_hold(stores: Stores) -> None:
    """A long ID has a hash in the keys; an amount beyond all money is left out."""
    long = "é" * 4_000
    other = f"{long}x"
    store = stores(keep_delivered=True)
    tiny = event(long, value=Decimal("1E-1001"), order_id="a\0b")
    store.note_delivered([tiny, event(other, value=Decimal("1E-1000"))], [1.0, 2.0], NOW)
    store.note_rejected(rejection(f"{long}y"), NOW)
    store.write()
    assert stores.sql("SELECT count(*), count(value) FROM delivered") == [(2, 1)]
    ((longest,),) = stores.sql("SELECT max(length(event_id)) FROM delivered")
    assert longest < 300
    send(store, 0, event(f"{long}y"))
    assert stores.letters() == []


def test_a_stream_whose_name_holds_an_address(stores: Stores) -> None:
    """Its letters go; a replay knows them by another name, and the event is the same one."""
    name = "of buyer@example.com"
    store = stores()
    store.note_rejected(msgspec.structs.replace(rejection("1"), stream=name), NOW)
    store.write()
    send(stores(), 0, event("1", stream=name))
    assert stores.letters() == []
    assert said(claim(stores(), 0, event("1", stream=stored_stream(name))))[2] == ["1"]


def test_the_newest_id(stores: Stores) -> None:
    """Of an account, the pixel of its run and a reason, among those that were read since a time."""
    store, other = stores(), stores(pixel_id=2)
    for number in range(3):
        store.note_rejected(rejection(f"old-{number}", "invalid_source"), NOW - 9 * DAY + number)
        store.note_rejected(rejection(f"new-{number}", "missing_key"), NOW - number)
    other.note_rejected(rejection("theirs", "missing_key"), NOW + 9)
    for one in (store, other):
        one.write()
    account, database = stores.settings().account, stores.database()
    find = functools.partial(newest_id, database, account)
    assert find(1, NOW - DAY, "missing_key") == "new-0"
    assert find(2, NOW - DAY, "missing_key") == "theirs"
    assert find(1, NOW - DAY, "invalid_source") is None
    assert find(1, NOW - 10 * DAY, "invalid_source") == "old-2"
    assert find(None, 0.0, "missing_key") is None
