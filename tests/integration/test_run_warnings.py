"""What a run warns of: what is lost or never used, streams that no map names, maps that fail."""

from __future__ import annotations

import datetime as dt
import threading
import zoneinfo
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import OFTEN, WITH_ID, numbered, order, schema, state, wait_until

if TYPE_CHECKING:
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

MAP = {"event_id": "event_id", "event_time": "event_time", "email": "email", "__else__": "__NULL__"}


# What is lost


def booked(*sources: str | None, **columns: Any) -> list[dict[str, Any]]:
    """Return a stream of bookings with these sources."""
    messages = [order(n, source=source, **columns) for n, source in enumerate(sources)]
    return [schema(columns=(*MAP, "id", "source")), *messages, state(1)]


def test_a_run_that_delivers_nothing(target: Launcher, sandbox: Sandbox) -> None:
    """Twelve records of which none can be sent fail the run; the letters are kept, STATE is not."""
    run = target.run(*booked(*["desk"] * 7, *["site"] * 5))
    assert (run.code, run.states, sandbox.stats.requests) == (1, [], 0)
    assert [letter["reason"] for letter in run.letters] == ["invalid_source"] * 12
    assert run.last_line.startswith("nothing was delivered, and 12 records became dead letters")
    assert "max_dead_letter_percent" in run.last_line
    (lost, *_) = run.warnings
    assert lost.startswith(
        "orders: 12 of 12 records not delivered because of invalid_source (desk 7, site 5). No"
        " event of this stream was delivered. "
    )


def test_a_few_records_that_are_lost(target: Launcher, sandbox: Sandbox) -> None:
    """Each share of rejections is warned of, without anything personal; guests are not."""
    messages = booked("web", "Jane Doe", "jane@example.com", "desk", None)
    messages[1:1] = [order(90, email=None, source="web"), order(91, event_time=10**9, source="web")]
    run = target.run(*messages)
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], 2)
    (lost,) = run.warnings
    assert lost == (
        "orders: 3 of 7 records not delivered because of invalid_source (desk 1, others). The"
        " summary at the end of the log says what to do"
    )
    assert "jane" not in run.log.lower()


def test_no_early_state(target: Launcher, sandbox: Sandbox) -> None:
    """While nothing is delivered, STATE does not pass a rejected record; then it does."""
    run = target.start(batch_size_rows=1, constants=OFTEN)
    run.send(schema(columns=WITH_ID), state(1))
    wait_until(lambda: run.states == [1], "the STATE before the rejected record")
    run.send(order(1, event_time="?"), state(2))
    wait_until(lambda: run.letters, "the dead letter")
    threading.Event().wait(0.2)  # several looks at what is due
    early = run.states
    run.send(order(2), state(3))
    wait_until(lambda: run.states[-1] == 3, "the STATE after a delivery")
    run.send(order(3, event_time="?"), state(4))
    wait_until(lambda: run.states[-1] == 4, "the STATE after a rejected record")
    assert run.close_input().wait().code == 0
    assert early == [1]
    assert run.states == [1, 3, 4]


# Settings and taps


@pytest.mark.parametrize(("zones", "is_warned_of"), [(["+00:00"], True), (["+00:00", ""], False)])
def test_a_timezone_that_is_never_used(
    target: Launcher, zones: list[str], is_warned_of: bool
) -> None:
    """A zone that no event time needs is warned of, because it has no effect."""
    now = dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=3)
    today = [now.strftime("%Y-%m-%dT%H:%M:%S") + zone for zone in zones]
    messages = [order(n, event_time=time) for n, time in enumerate(today)]
    said = "no effect on the event times of orders, because each of these times has its own"
    for settings in ({"dry_run": True}, {}):
        run = target.run(schema(), *messages, state(1), timezone="Europe/Berlin", **settings)
        assert run.code == 0
        assert [said in warning for warning in run.warnings] == [True] * is_warned_of


def test_local_times_that_a_tap_marks_as_utc(target: Launcher, sandbox: Sandbox) -> None:
    """With local_time, the setting counts, and nothing is warned of."""
    zone = zoneinfo.ZoneInfo("Asia/Tokyo")
    there = dt.datetime.now(zone).replace(microsecond=0) - dt.timedelta(hours=1)
    marked = there.replace(tzinfo=dt.timezone.utc).isoformat()
    maps = {"orders": {**MAP, "event_time": "local_time(get('event_time'))"}}
    run = target.run(
        schema(columns=WITH_ID),
        *numbered(1, event_time=marked),
        state(1),
        stream_maps=maps,
        timezone="Asia/Tokyo",
    )
    assert (run.code, run.warnings) == (0, [])
    assert [event["eventTime"] for event in sandbox.events] == [int(there.timestamp())]


@pytest.mark.parametrize("messages", [[], [state(1)]], ids=["nothing", "STATE"])
def test_a_tap_that_died(target: Launcher, messages: list[dict[str, Any]]) -> None:
    """A run to which not even a SCHEMA came says so."""
    run = target.run(*messages)
    assert run.code == 0
    (said,) = run.warnings
    assert said.startswith("the input contains neither a record nor a SCHEMA, ")


# Stream maps


@pytest.mark.parametrize(
    ("others", "warned"),
    [
        ({}, ["stream 'ordrs' is skipped: no stream map names it; did you mean 'orders'?"]),
        ({"__else__": None}, []),
    ],
)
def test_streams_that_no_map_names(
    target: Launcher, others: dict[str, Any], warned: list[str]
) -> None:
    """A stream that no map names is warned of, unless `__else__` drops it on purpose."""
    run = target.run(
        schema("ordrs", ("id", "name")),
        schema(columns=WITH_ID),
        order(0, "ordrs"),
        *numbered(2),
        state(1),
        stream_maps={"orders": MAP, **others},
    )
    assert (run.code, run.warnings) == (0, warned)
    assert run.summary["ordrs"].unmapped == 1


@pytest.mark.parametrize("own", [{}, {"event_id": "'lead-' + str(id)"}], ids=["derived", "own"])
def test_two_maps_of_one_stream(target: Launcher, sandbox: Sandbox, own: dict[str, str]) -> None:
    """Without event IDs that tell their events apart, one of two is sent."""
    definition = {"event_time": "event_time", "email": "email", "__else__": "__NULL__"}
    maps = {"orders": definition, "leads": {**definition, **own, "__source__": "orders"}}
    for settings in ({"dry_run": True}, {}):
        messages = [schema(), *(order(n) for n in range(5)), state(1)]
        run = target.run(*messages, stream_maps=maps, **settings)
        assert run.code == 0
        assert run.summary["leads"].drops == ({} if own else {"already_sent": 5})
    assert sandbox.stats.accepted == (10 if own else 5)


def test_a_failing_map_is_warned_of_once(target: Launcher, sandbox: Sandbox) -> None:
    """A failing expression is warned of once a column, with its name and kind, not its value."""
    maps = {
        "orders": {
            **MAP,
            "event_id": "event_id if id < 8 else secret_of['x']",
            "value": "float(value) if id < 5 else value",
            "__filter__": "True if id < 3 or id > 4 else 1 / 0 > 1",
        }
    }
    messages = numbered(10)
    for n in (0, 1, 2):
        messages[n]["record"]["value"] = f"jane{n}@example.com"
    columns = (*WITH_ID, "secret_of")
    run = target.run(schema(columns=columns), *messages, state(1), stream_maps=maps)
    assert (run.code, len(run.letters), sandbox.stats.accepted) == (0, 7, 3)
    warned = [x for x in run.warnings if "expression" in x]
    assert len(warned) == 3
    for column, kind in (("value", "ValueError"), ("__filter__", "ZeroDivisionError")):
        (line,) = [x for x in warned if f"'{column}'" in x]
        assert f"({kind})" in line
        assert "'orders'" in line
    assert any("'event_id'" in x for x in warned)
    assert "jane" not in run.log
