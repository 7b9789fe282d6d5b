"""Where events are after runs of all kinds: the report, the page, the metrics, and SQL agree."""

import itertools
import json
import re
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, Reply, refusing
from integration_support import DAY, WITH_ID, Launcher, numbered, order, schema, state, wait_until
from store_tables import ask

PLACES = ("arrived", "waiting", "replayable", "lost", "left_out")
LOST_FOR_EVER = ("no_identity", "event_too_old", "mapping_failed", "missing_event_time")
ACCOUNT = "customer_id = 'a-1b2c' AND run_pixel_id = ?"
SHORT_LEASE = {
    "target_liveintent.store.deduplication:LAPSE_SECONDS": 0.6,
    "target_liveintent.store.run_store:LAPSE_SECONDS": 0.6,
    "target_liveintent.store.deduplication:SURE_SECONDS": 0.4,
    "target_liveintent.store.deduplication:_RENEWED_AFTER_SECONDS": 0.1,
}
"""Constants of a run whose reservations expire soon after it is killed."""
PIXEL = 12345


def by_sql(store: Path | str, pixel_id: int = PIXEL) -> dict[str, Any]:
    """Return the ledger of all events, read from the tables with the simplest SQL."""
    counts, values, ends = Counter[str](), dict[tuple[str, str], Decimal](), []

    def add(place: str, events: int, value: Any, currency: str | None) -> None:
        counts[place] += events
        if value is not None and currency and place != "left_out":
            known = values.get((place, currency), Decimal(0))
            values[place, currency] = known + Decimal(value)

    now = time.time()
    counted = f"SELECT place, events, value, currency FROM place_count WHERE {ACCOUNT}"  # noqa: S608
    for row in ask(store, counted, pixel_id):
        add(*row)
    letters = f"SELECT reason, window_end, value, currency FROM dead_letter WHERE {ACCOUNT}"  # noqa: S608
    for reason, end, value, currency in ask(store, letters, pixel_id):
        is_lost = reason in LOST_FOR_EVER or (end is not None and end <= now)
        add("lost" if is_lost else "replayable", 1, value, currency)
        ends += [] if is_lost or end is None else [end]
    waiting = f"SELECT window_end, value, currency FROM waiting WHERE {ACCOUNT}"  # noqa: S608
    for end, value, currency in ask(store, waiting, pixel_id):
        add("waiting" if end > now else "lost", 1, value, currency)
        ends += [end] if end > now else []
    delivered = {key for (key,) in ask(store, "SELECT key FROM event")}
    killed = (
        "SELECT keys, CAST(amounts AS text) FROM reservation JOIN run ON number = run"
        " WHERE ended_at IS NULL AND alive_until < ? AND pixel_id = ?"
    )
    for keys, amounts in ask(store, killed, now, pixel_id):
        each = (keys[start : start + 16] for start in range(0, len(keys), 16))
        for key, amount in zip(each, json.loads(amounts), strict=True):
            if key not in delivered and amount is not None:
                value, _, currency = amount.partition(" ")
                add("waiting", 1, value or None, currency)
                ends.append(int.from_bytes(key[:5], "big"))
    ledger = {place: counts[place] for place in PLACES}
    sums = {place: {c: v for (p, c), v in values.items() if p == place} for place in PLACES[:4]}
    return {
        "read": sum(counts.values()),
        **ledger,
        "values": sums,
        "until": min(ends, default=None),
    }


def checked(target: Launcher, store: Path | str, pixel_id: int = PIXEL) -> dict[str, Any]:
    """Return the ledger of the report, after all that names a number was compared with SQL."""
    settings = {"store": str(store), "pixel_id": pixel_id}
    found = json.loads(target.ask("report", "--format=json", **settings).stdout)
    ledger, expected = found["ledger"], by_sql(store, pixel_id)
    assert {name: ledger[name] for name in ("read", *PLACES)} == {
        name: expected[name] for name in ("read", *PLACES)
    }
    assert ledger["read"] == sum(ledger[place] for place in PLACES)
    values = {
        place: {currency: Decimal(value) for currency, value in sums.items()}
        for place, sums in ledger["values"].items()
    }
    assert {p: {c: v for c, v in s.items() if c} for p, s in values.items()} == expected["values"]
    ends_at = expected["until"]
    assert ledger["until"] == (
        None if ends_at is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends_at))
    )
    of_days = Counter[str]()
    for day in found["days"]:
        of_days.update({name: day["ledger"][name] for name in ("read", *PLACES)})
    assert of_days == Counter({name: ledger[name] for name in ("read", *PLACES)})
    page = target.folder / f"places-{pixel_id}.html"
    target.ask("report", str(page), **settings)
    (block,) = re.findall(r'(?s)<section id="ledger">.*?</section>', page.read_text())
    shown = re.findall(r'<li class="(\w+)"><b>([\d,]+)</b>', block)
    assert {name: int(number.replace(",", "")) for name, number in shown} == {
        name: ledger[name] for name in ("read", *PLACES)
    }
    letters = target.ask("dead-letters", **settings).stdout
    if ledger["read"]:
        assert f"read {ledger['read']:,} = arrived {ledger['arrived']:,} + " in letters
    return {place: ledger[place] for place in PLACES if ledger[place]}


@pytest.fixture
def messages() -> list[Any]:
    """Return 40 good orders, and one each that is refused, has no person, is too old, or broken."""
    return [
        schema(columns=WITH_ID),
        *numbered(40),
        order("refused", event_id="refused", currency="JPY", value=1_200),
        order("guest", event_id="guest", email=None),
        order("old", event_id="old", event_time=int(time.time()) - 9 * DAY),
        order("broken", event_id="broken", event_time="soon"),
        state(1),
    ]


LETTERS = {"replayable": 2, "lost": 2}


def test_a_first_run_and_a_replay(
    to_server: Launcher, server: FaultyServer, store: Path | str, messages: list[Any]
) -> None:
    """A letter that a replay delivers has arrived; a second run changes nothing."""
    if isinstance(store, Path):
        assert checked(to_server, store) == {}
    server.answer = refusing("refused")
    filtered = {"stream_maps": {"orders": {"__filter__": "event_id != 'order-0'"}}}
    to_server.run(*messages, store=str(store), metrics_path="run.prom", **filtered)
    first = {"arrived": 39, "left_out": 1, **LETTERS}
    assert checked(to_server, store) == first
    metrics = (to_server.folder / "run.prom").read_text()
    gauges = re.findall(r'target_liveintent_ledger{place="(\w+)"} (\d+)', metrics)
    assert {place: int(number) for place, number in gauges if int(number)} == first
    server.answer = lambda _: Reply()
    to_server.ask("replay", store=str(store))
    again = {"arrived": 40, "left_out": 1, "replayable": 1, "lost": 2}
    assert checked(to_server, store) == again
    # (An event whose letter is gone, such as `old`, would count again.)
    young = [one for one in messages if one.get("record", {}).get("event_id") != "old"]
    to_server.run(*young, store=str(store))
    assert checked(to_server, store) == {**again, "arrived": 41}  # `order-0` is new.
    assert len({*server.accepted}) == 41
    to_server.ask("dead-letters", "--delete=invalid_event_time", store=str(store))
    deleted = {"arrived": 41, "left_out": 1, "lost": 3}
    assert checked(to_server, store) == deleted
    forget = to_server.start("forget", store=str(store))
    forget.send(b"buyer1@example.com\nbuyerguest@example.com\n").close_input().wait()
    assert checked(to_server, store) == deleted


def test_failed_runs_and_an_outage(
    to_server: Launcher, server: FaultyServer, store: Path | str, messages: list[Any]
) -> None:
    """What a failed run had read waits, once however many runs fail, and then arrives."""
    for answer in (Reply(401), Reply(401), Reply(503)):
        server.answer = lambda _, reply=answer: reply
        run = to_server.run(*messages, store=str(store), max_retry_seconds=1)
        assert run.code == 1
        assert checked(to_server, store) == {"waiting": 41, "replayable": 1, "lost": 2}
    server.answer = refusing("refused")
    assert to_server.run(*messages, store=str(store)).code == 0
    assert checked(to_server, store) == {"arrived": 40, **LETTERS}


def test_a_run_that_is_killed(to_server: Launcher, server: FaultyServer, store: Path | str) -> None:
    """What it had confirmed has arrived, what it had reserved waits, and the next run sends it."""
    numbers = itertools.count()
    server.answer = lambda _: Reply(held=next(numbers) >= 20)
    messages = [schema(columns=WITH_ID), *numbered(400), state(1)]
    run = to_server.start(batch_size_rows=10, constants=SHORT_LEASE, store=str(store))
    run.send(*messages)
    wait_until(lambda: len(server.accepted) >= 200, "twenty answers")
    wait_until(lambda: ask(store, "SELECT 1 FROM event"), "an outcome in the store")
    run.kill()
    wait_until(
        lambda: not ask(store, f"SELECT 1 FROM run WHERE alive_until >= {time.time()}"),  # noqa: S608
        "the end of its lease",
    )
    places = checked(to_server, store)
    ((confirmed,),) = ask(store, "SELECT count(*) FROM event")
    assert places["arrived"] == confirmed > 0
    assert places["waiting"] > 0
    server.release()
    server.answer = lambda _: Reply()
    again = to_server.run(*messages, constants=SHORT_LEASE, store=str(store))
    assert again.code == 0
    assert checked(to_server, store) == {"arrived": 400}


def test_two_accounts(
    to_server: Launcher, server: FaultyServer, store: Path | str, messages: list[Any]
) -> None:
    """Two pixels share a store: each has its own places."""
    server.answer = refusing("refused")
    to_server.run(*messages, store=str(store))
    to_server.run(*messages[:11], state(1), store=str(store), pixel_id=7)
    assert checked(to_server, store) == {"arrived": 40, **LETTERS}
    assert checked(to_server, store, 7) == {"arrived": 10}
