"""Where events are, after runs of all kinds: all that reports say agrees with SQL over the store.

`Pipeline.run` compares the log and the metrics, and `Pipeline.places` the JSON, the text, the page
and `dead-letters`.
"""

import datetime as dt
import itertools
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, Reply, in_turn, refusing
from integration_support import DAY, WITH_ID, Launcher, order, schema, state, wait_until
from ledger_truth import ZONE, Pipeline, Truth
from store_tables import ask

SCHEMA = schema(columns=WITH_ID)
SHORT_LEASE = {
    "target_liveintent.store.reservations:LAPSE_SECONDS": 0.6,
    "target_liveintent.store.run_store:LAPSE_SECONDS": 0.6,
    "target_liveintent.store.reservations:SURE_SECONDS": 0.4,
    "target_liveintent.store.reservations:_RENEWED_AFTER_SECONDS": 0.1,
}
"""Constants of a run whose reservations expire soon after it is killed."""

pytestmark = pytest.mark.usefixtures("_keep_logging")


@pytest.fixture
def shop(to_server: Launcher, store: Path | str) -> Pipeline:
    """Return a pipeline with an empty store."""
    return Pipeline(to_server, store)


def accept(_: Any) -> Reply:
    return Reply()


def orders(shop: Pipeline, names: str, **columns: Any) -> list[Any]:
    """Return orders of an hour before the clock of a shop; the IDs are the words of `names`."""
    given: dict[str, Any] = {"event_time": int(shop.now) - 3_600, **columns}
    return [order(name, event_id=name, **given) for name in names.split()]


def mixed(shop: Pipeline) -> list[Any]:
    """Return ten orders in two currencies, and one each that is refused, or cannot be sent."""
    return [
        SCHEMA,
        *orders(shop, "a b c d e f g"),
        *orders(shop, "h i j", currency="JPY", value=4_168),
        *orders(shop, "refused", currency="KWD", value="12.345"),
        *orders(shop, "guest", email=None),
        *orders(shop, "old", event_time=int(shop.now) - 9 * DAY),
        *orders(shop, "broken", event_time="soon"),
        state(1),
    ]


LETTERS = {"replayable": 2, "lost": 2}
"""What becomes of the last four of them."""


def check_arrived(shop: Pipeline, server: FaultyServer) -> None:
    """Check that as many events, and as much, arrived as the API has got, each once."""
    pixels = {
        event["eventId"]: event
        for request in server.requests
        for event in request.events
        if request.reply.status == 204 and event["pixelId"] == shop.pixel_id
    }
    values: dict[str, Decimal] = {}
    for event in pixels.values():
        purchase = event.get("purchaseData", {})
        if (currency := purchase.get("currency")) is not None:
            known = values.get(currency, Decimal(0))
            values[currency] = known + Decimal(str(purchase["value"]))
    found = Truth(shop.store, shop.pixel_id, shop.now).all
    assert found.counts["arrived"] == len(pixels)
    assert found.values["arrived"] == values


def test_before_the_first_run(shop: Pipeline) -> None:
    """The commands know nothing."""
    if isinstance(shop.store, Path):
        assert shop.places() == {}


def test_a_first_run_and_a_replay(shop: Pipeline, server: FaultyServer) -> None:
    """A letter that a replay delivers has arrived; a second run changes nothing."""
    server.answer = refusing("refused")
    shop.run(*mixed(shop), stream_maps={"orders": {"__filter__": "event_id != 'a'"}})
    assert shop.places() == {"arrived": 9, "left_out": 1, **LETTERS}
    server.answer = accept
    shop.ask("replay")
    again = {"arrived": 10, "left_out": 1, "replayable": 1, "lost": 2}
    assert shop.places() == again
    # (An event whose letter is gone, such as `old`, would count again.)
    shop.run(*(one for one in mixed(shop) if one.get("record", {}).get("event_id") != "old"))
    assert shop.places() == {**again, "arrived": 11}  # `a` is new.
    check_arrived(shop, server)
    shop.ask("dead-letters", "--delete=invalid_event_time", "--delete=no_identity")
    deleted = {"arrived": 11, "left_out": 1, "lost": 3}
    assert shop.places() == deleted
    shop.ask("forget", given=b"buyera@example.com\nbuyerguest@example.com\n")
    assert shop.places() == deleted


def test_an_event_that_comes_again(shop: Pipeline, server: FaultyServer) -> None:
    """It stays where it is: sent again, rejected later, or left out after it waited."""
    shop.run(SCHEMA, *orders(shop, "a b c"), state(1))
    server.answer = refusing("b")
    shop.run(SCHEMA, *orders(shop, "a b"), options=["--send-again"])
    assert len([name for name in server.accepted if name == "a"]) == 2
    shop.run(SCHEMA, *orders(shop, "c", email=None), *orders(shop, "d"), state(2))
    assert shop.places() == {"arrived": 4}
    assert len(ask(shop.store, "SELECT 1 FROM dead_letter")) == 2
    server.answer = lambda _: Reply(401)
    shop.run(SCHEMA, *orders(shop, "e f g"), state(3), code=1)
    server.answer = accept
    shop.run(SCHEMA, *orders(shop, "e", consent=False), *orders(shop, "f"), state(3))
    assert shop.places() == {"arrived": 5, "left_out": 1, "waiting": 1}


def test_a_canary(shop: Pipeline) -> None:
    """What its limit leaves for the next run counts nowhere."""
    messages = [SCHEMA, *orders(shop, "a b c d"), *orders(shop, "e", consent=False), state(1)]
    shop.run(*messages, limit=2)
    assert shop.places() == {"arrived": 2}
    shop.run(*messages)
    assert shop.places() == {"arrived": 4, "left_out": 1}


def test_failed_runs_and_an_outage(shop: Pipeline, server: FaultyServer) -> None:
    """What a failed run had read waits, once however many runs fail, and then arrives."""
    for answer in (Reply(401), Reply(401), Reply(503)):
        server.answer = in_turn(then=answer)
        shop.run(*mixed(shop), max_retry_seconds=1, code=1)
        assert shop.places() == {"waiting": 11, "replayable": 1, "lost": 2}
    health = shop.target.ask("health", store=str(shop.store))
    assert (health.code, "Because of it, 11 wait (deadline: " in health.stdout) == (3, True)
    server.answer = refusing("refused")
    shop.run(*mixed(shop))
    assert shop.places() == {"arrived": 10, **LETTERS}
    check_arrived(shop, server)
    assert shop.target.ask("health", store=str(shop.store)).code == 0


def test_a_run_that_is_killed(shop: Pipeline, server: FaultyServer) -> None:
    """What it had confirmed has arrived, what it had reserved waits, and the next run sends it."""
    numbers = itertools.count()
    server.answer = lambda _: Reply(held=next(numbers) >= 20)
    messages = [SCHEMA, *orders(shop, " ".join(map(str, range(400)))), state(1)]
    run = shop.target.start(batch_size_rows=10, constants=SHORT_LEASE, store=str(shop.store))
    run.send(*messages)
    wait_until(lambda: len(server.accepted) >= 200, "twenty answers")
    wait_until(lambda: ask(shop.store, "SELECT 1 FROM event"), "an outcome in the store")
    run.kill()
    wait_until(
        lambda: not ask(shop.store, f"SELECT 1 FROM run WHERE alive_until >= {time.time()}"),  # noqa: S608
        "the end of its lease",
    )
    places = shop.places()
    ((confirmed,),) = ask(shop.store, "SELECT count(*) FROM event")
    assert places["arrived"] == confirmed > 0
    assert places["waiting"] > 0
    server.release()
    server.answer = accept
    shop.run(*messages, constants=SHORT_LEASE)
    assert shop.places() == {"arrived": 400}
    check_arrived(shop, server)


def test_two_accounts(shop: Pipeline, server: FaultyServer) -> None:
    """Two pixels share a store: each has its own places."""
    other = Pipeline(shop.target, shop.store, pixel_id=7)
    server.answer = refusing("refused")
    shop.run(*mixed(shop))
    other.run(SCHEMA, *orders(other, "a k"), *orders(other, "guest", email=None), state(1))
    assert shop.places() == {"arrived": 10, **LETTERS}
    assert other.places() == {"arrived": 2, "lost": 1}
    for one in (shop, other):
        check_arrived(one, server)


def _first_of_a_month(now: dt.datetime) -> dt.datetime:
    first = now.replace(day=1)
    return first if now - first > dt.timedelta(days=2) else (first - dt.timedelta(2)).replace(day=1)


@pytest.mark.parametrize(
    "day",
    [_first_of_a_month, lambda now: now - dt.timedelta(days=1)],
    ids=["first of a month", "any day"],
)
def test_the_hour_after_midnight(
    shop: Pipeline, server: FaultyServer, day: Callable[[dt.datetime], dt.datetime]
) -> None:
    """An event is of the day on which it was first read, in the zone, whenever it arrives."""
    after = day(dt.datetime.now(ZONE)).replace(hour=0, minute=20)
    before = after - dt.timedelta(minutes=50)
    shop.ahead = before.timestamp() - time.time()
    shop.run(SCHEMA, *orders(shop, "a b"), *orders(shop, "c", email=None), state(1))
    server.answer = lambda _: Reply(401)
    shop.run(SCHEMA, *orders(shop, "d e f"), state(2), code=1)
    shop.ahead += 50 * 60
    assert shop.places() == {"arrived": 2, "waiting": 3, "lost": 1}
    server.answer = refusing("f", "h")
    shop.run(SCHEMA, *orders(shop, "d e f", event_time=int(shop.now) - 6_600), *orders(shop, "g h"))
    assert shop.places() == {"arrived": 5, "replayable": 2, "lost": 1}
    truth = Truth(shop.store, shop.pixel_id, shop.now)
    assert truth.on(after.date()).counts == {**truth.on(after.date()).counts, "arrived": 1}
    assert truth.on(before.date()).counts["arrived"] == 4


def test_a_usual_week(shop: Pipeline, server: FaultyServer) -> None:
    """Two or three runs a day, of which one fails; dead letters, a replay and a deletion."""
    refused = [f"{day}-refused" for day in range(7)]
    server.answer = refusing(*refused)
    expected: list[dict[str, int]] = []
    for day in range(6, -1, -1):
        for hour in (5, 1):
            shop.ahead = -DAY * day - 3_600 * hour
            names = " ".join(f"{day}-{hour}-{number}" for number in range(5))
            bought = [
                *orders(shop, names, currency="EUR", value="49.90"),
                *orders(shop, f"{day}-{hour}-x {day}-{hour}-y", currency="JPY", value=4_168),
                *orders(shop, f"{day}-{hour}-free", value=None, currency=None),
                *orders(shop, f"{day}-{hour}-no", consent=False),
            ]
            if hour == 1:
                bought += orders(shop, f"{day}-refused", currency="EUR", value=10)
                bought += orders(shop, f"{day}-guest", email=None, currency="EUR", value=20)
            if (day, hour) == (4, 5):
                server.answer, answer = lambda _: Reply(401), server.answer
                shop.run(SCHEMA, *bought, state(day), code=1)
                assert shop.places()["waiting"] == 8
                server.answer, late = answer, bought
            elif (day, hour) == (4, 1):
                shop.run(SCHEMA, *late, *bought, state(day))
            else:
                shop.run(SCHEMA, *bought, state(day))
        if day == 3:
            server.answer = accept
            shop.ask("replay")
        if day == 2:
            shop.ask("dead-letters", "--delete=no_identity")
        expected.append(shop.places())
    usual = {"arrived": 16, "replayable": 1, "lost": 1, "left_out": 2}
    replayed = {"arrived": 17, "lost": 1, "left_out": 2}
    failed = {**usual, "left_out": 3}  # A record without consent was read again.
    assert expected == [usual, usual, failed, *[replayed] * 4]
    check_arrived(shop, server)
    shop.ahead = 0.0
    shop.places()
    week = Truth(shop.store, shop.pixel_id, shop.now).all
    assert week.counts == {
        "arrived": 7 * 17,
        "waiting": 0,
        "replayable": 0,
        "lost": 7,
        "left_out": 7 * 2 + 1,
    }
    assert week.values["lost"] == {"EUR": 140}
    assert week.money("arrived") == ["3,563.00 EUR", "116,704 JPY"]
