"""What the run report advises, and when it says nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from report_support import MadeUpRun
from unit_support import MD5, TIME

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

LACKS: list[dict[str, Any]] = [
    {"email": None, "md5": MD5},
    {"ip": None},
    {"user_agent": None},
    {"source": "app"},
    {"decision_id": None},
    {"order_id": None},
    {"value": None},
    {"currency": None},
    {"event_time": TIME - 2 * 3_600},
]


def test_advice(snapshot: SnapshotAssertion) -> None:
    """It names the share of events that lack something, and the first line repeats the first."""
    found = []
    for lack in LACKS:
        facts = MadeUpRun().deliver(2).deliver(3, **lack).facts()
        assert facts.conclusions[-1] == f"To match more: {facts.advice[0]}"
        found += [f"{', '.join(lack)}:", *facts.advice]
    assert "\n".join(found) == snapshot


BARE_OFFLINE = {"source": "offline", "ip": None, "user_agent": None, "decision_id": None}
NO_IP = (
    "6 % of the web and app conversions have no IP address. Supply the buyer's IP address as `ip`."
)


def without_ip(others: int, **streams: int) -> MadeUpRun:
    """Return a run with events that have an address, and with some in streams that have none."""
    run = MadeUpRun().deliver(others)
    for stream, events in streams.items():
        run.deliver(events, stream, ip=None)
    return run


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (without_ip(95, orders=5), []),
        (without_ip(94, orders=6), [NO_IP]),
        (MadeUpRun().deliver(5, **BARE_OFFLINE), []),
        (
            MadeUpRun().deliver(value=None, currency=None),
            ["100 % of the conversions have no value. Supply the value as `value`."],
        ),
    ],
)
def test_whose_events_lack_something(run: MadeUpRun, expected: list[str]) -> None:
    """Above a twentieth, of the sources that should have it, which are named unless all should."""
    assert run.facts().advice == expected


@pytest.mark.parametrize(
    ("streams", "share"), [({"a": 3, "b": 1}, "75 % of them are"), ({"a": 3}, "All of them are")]
)
def test_the_stream_at_fault(streams: dict[str, int], share: str) -> None:
    """The advice names the stream of several that lacks most."""
    assert without_ip(5, **streams).facts().advice[0].endswith(f"({share} in stream a.)")


def test_columns_that_cannot_be_used() -> None:
    """The advice names columns that could not be used, but not those that are only empty."""
    run = MadeUpRun().deliver(50)
    run.counts.of("orders").left_out.update({"ip": 3, "value empty": 9, "conflict": 1, "email": 2})
    assert [line.split(".")[0] for line in run.facts().advice] == [
        "In 2 records, `email` is neither an e-mail address nor a hash of one",
        "In 1 record, a hash does not belong to the address",
        "In 3 records, `ip` cannot be used and is left out",
    ]


@pytest.mark.parametrize(
    ("without", "expected"), [(6, "email decision_id ip value"), (15, "email ip decision_id value")]
)
def test_the_most_useful_is_first(without: int, expected: str) -> None:
    """What matches by hash, then what finds people, then what completes; then the most events."""
    run = MadeUpRun().deliver(10).deliver(8, value=None, currency=None).deliver(9, decision_id=None)
    run.deliver(without, ip=None).deliver(4, email=None, md5=MD5)
    columns = [re.findall("`(.*?)`", line)[-1] for line in run.facts().advice]
    assert columns == expected.split()
