"""The benchmarks' orders, their checks of what arrived, and their verdicts. Nothing is timed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

pytest.importorskip("benchmarks", reason="the benchmarks are not in the source distribution")

from benchmarks import aims, floor, orders, results, tables
from benchmarks.bench import Bench, Candidate, Figures, Stream
from benchmarks.processes import Api, FailedRunError
from benchmarks.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_785_600_000
DAY = 86_400


def _messages(count: int, columns: int = orders.COLUMNS) -> list[dict[str, Any]]:
    text = b"".join(orders.blocks(count, columns, NOW))
    return [json.loads(line) for line in text.splitlines()]


def _body(first: int, end: int) -> bytes:
    """Return the body that the floor sends for some of the orders."""
    records = [message["record"] for message in _messages(end) if message["type"] == "RECORD"]
    return json.dumps([floor.event(record) for record in records[first:]]).encode()


def _tally(*bodies: bytes) -> Tally:
    tally = Tally()
    for body in bodies:
        tally.add(body)
    return tally


# Orders


def test_orders_are_reproducible() -> None:
    """The same arguments give the same bytes; another seed gives other orders."""
    assert list(orders.blocks(1_500, 12, NOW)) == list(orders.blocks(1_500, 12, NOW))
    assert list(orders.blocks(1_500, 12, NOW)) != list(orders.blocks(1_500, 12, NOW, seed=8))


@pytest.mark.parametrize("count", [0, 1, 1_000, 2_001])
def test_as_many_orders_as_asked_for(count: int) -> None:
    """After every 1,000 orders there is a STATE with the number of orders before it."""
    schema, *messages = _messages(count)
    assert schema["type"] == "SCHEMA"
    seen = 0
    for message in messages:
        if message["type"] == "STATE":
            assert message["value"]["bookmarks"]["orders"]["n"] == seen
        seen += message["type"] == "RECORD"
    assert seen == count
    assert len(messages) == count + count // 1_000


def test_all_orders_differ() -> None:
    """Orders stay different after all generated blocks have been used once."""
    records = [m["record"] for m in _messages(45_000) if m["type"] == "RECORD"]
    for column in ("id", "email", "order_number"):
        assert len({record[column] for record in records}) == len(records)


def test_orders_are_young_enough() -> None:
    """The API accepts web events for 7 days, and a benchmark may take hours."""
    for message in _messages(3_000):
        if message["type"] == "RECORD":
            at = floor.event(message["record"])["eventTime"]
            assert NOW - 6 * DAY < at < NOW


def test_orders_have_the_columns_of_the_schema() -> None:
    """An order has as many columns as asked for, those in the schema."""
    schema, record = _messages(1, columns=200)
    assert len(record["record"]) == 200
    assert record["record"].keys() == schema["schema"]["properties"].keys()


# Arrived events


def test_order_of_arrival_does_not_matter() -> None:
    expected = _tally(_body(0, 100), _body(100, 150))
    assert _tally(_body(100, 150), _body(0, 100)).problem(150, expected) is None


@pytest.mark.parametrize(
    ("bodies", "problem"),
    [
        ([_body(0, 100)], "100 events arrived instead of 150"),
        ([_body(0, 100), _body(100, 150), _body(149, 150)], "151 events arrived"),
        ([_body(0, 100), _body(100, 149), _body(0, 1)], "differ"),
        ([_body(0, 101), _body(101, 150)], "a request held 101 events"),
        ([_body(0, 100), _body(100, 150).replace(b'"md5": "', b'"md5": "0')], "differ"),
    ],
    ids=["lost", "doubled", "doubled for a lost one", "too many in a request", "another hash"],
)
def test_finds_invalid_runs(bodies: list[bytes], problem: str) -> None:
    found = _tally(*bodies).problem(150, _tally(_body(0, 100), _body(100, 150)))
    assert found is not None
    assert problem in found


def test_the_api_tallies() -> None:
    """Each tally starts at zero; a body that is not an array of events is refused."""
    with Api() as api, requests.Session() as session:
        session.trust_env = False  # No proxy.
        assert api.url.startswith("http://127.0.0.1:")
        assert session.post(api.url, _body(0, 100)).status_code == 204
        assert session.post(api.url, _body(100, 150)).status_code == 204
        taken = api.take()
        assert taken.connections == 1
        taken.connections = 0
        assert taken == _tally(_body(0, 100), _body(100, 150))
        assert session.post(api.url, b"{}").status_code == 400
        assert api.take() == Tally()


def test_programs_send_the_same_events(tmp_path: Path) -> None:
    """Both targets send what the floor sends; otherwise their runs would be invalid."""
    stream = Stream(250)
    found = Bench(tmp_path).compare(
        0,
        1,
        floor=Candidate("floor", stream),
        naive=Candidate("naive", stream),
        target=Candidate("target", stream._replace(piped=True)),
    )
    assert found.keys() == {"floor", "naive", "target"}


def test_shows_the_output_of_a_failed_program(tmp_path: Path) -> None:
    """The error contains what the program wrote to standard error."""
    entry = Candidate("target", Stream(10), {"max_concurrent_requests": 0})
    with pytest.raises(FailedRunError, match="max_concurrent_requests"):
        Bench(tmp_path).compare(0, 1, target=entry)


# Verdicts


def _figures(**cpu: float) -> dict[str, Figures]:
    return {program: Figures(figure, rate=1, peak=50) for program, figure in cpu.items()}


def _measured(**changes: Any) -> results.Measured:
    """Return measurements that meet all aims, apart from the changes."""
    values: dict[str, Any] = {
        "machine": results.this_machine(),
        "sizes": aims.QUICK,
        "cpu": _figures(floor=10, target=15, naive=100),
        "wide": _figures(floor=10, target=6),
        "throughput": {
            "target": Figures(cpu=1, rate=16_000, peak=50),
            "target_8": Figures(cpu=1, rate=8_000, peak=50),
            "naive": Figures(cpu=1, rate=500, peak=50),
        },
        "memory": _figures(few=1, many=1),
        "start_up": 0.6,
        "bare_start_up": 0.5,
        "silence": 10.0,
    }
    return results.Measured(**values | changes)


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        (
            {"cpu": _figures(floor=10, target=17, naive=100)},
            ["CPU time per event, divided by that of the floor"],
        ),
        ({"start_up": 0.66}, ["start-up, minus the time of import singer_sdk.target_base"]),
        ({"silence": 50.1}, ["CPU time per minute, while a tap is silent"]),
        (
            {"memory": {"few": Figures(1, 1, 110), "many": Figures(1, 1, 120)}},
            ["peak memory with 200,000 events"],
        ),
    ],
)
def test_missed_aims_are_marked(changes: dict[str, Any], missed: list[str]) -> None:
    lines = tables.terminal(_measured(**changes)).splitlines()
    assert [line.split("  ")[0] for line in lines if line.endswith("missed")] == missed
    assert sum(line.endswith("met") for line in lines) == len(aims.AIMS) - len(missed)


def test_figure_that_the_system_does_not_provide() -> None:
    """An aim without a figure is neither met nor missed."""
    assert "not measured" in tables.terminal(_measured(silence=None))


def test_results_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert results.load(path) == results.Results()
    point = results.Point(10, _figures(target=1, naive=2))
    series = results.Series(results.this_machine(), latency=[point])
    results.save(results.Results(_measured(), series), path)
    assert results.load(path) == results.Results(_measured(), series)
