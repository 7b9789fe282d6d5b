"""The lists and counts of what arrived, from Python and over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sandbox_support import NOW, event, events

from target_liveintent.sandbox import Sandbox
from target_liveintent.sandbox.coverage import FIELDS

if TYPE_CHECKING:
    from sandbox_support import Call, Post


def test_stats(post: Post, call: Call) -> None:
    """The counts include everything that arrived, also repeated events."""
    post([event(eventId="e-1"), event(eventId="e-2"), event(eventId="e-1")])
    post([event(eventId="e-1")])
    post([event(source="shop")] * 5)
    assert call("/stats").json() == {
        "accepted": 4,
        "arrived": 9,
        "requests": 3,
        "by_status": {"204": 2, "400": 1},
        "by_outcome": {"accepted": 2, "partial": 0, "refused": 1, "fault": 0, "dropped": 0},
        "largest_batch": 5,
        "duplicates": 2,
        "coverage": dict.fromkeys(FIELDS, 0)
        | dict.fromkeys(("md5", "orderId", "value", "currency"), 4),
    }


def test_events(sandbox: Sandbox, post: Post, call: Call) -> None:
    """Events are listed newest first, up to a limit, and can be found by their ID."""
    sent = [*events(2), event({"purchaseData.orderId": "e-1"}, eventId="e-2")]
    post(sent)
    assert sandbox.events == sent
    for query, count, found in (
        ("", 3, sent[::-1]),
        ("?limit=1", 3, [sent[2]]),
        ("?limit=0", 3, []),
        ("?event_id=e-1", 1, [sent[1]]),
        ("?event_id=x", 0, []),
    ):
        assert call(f"/events{query}").json() == {"count": count, "events": found}


def test_requests(sandbox: Sandbox, post: Post, call: Call) -> None:
    """Requests are listed newest first, with the reasons why they were refused."""
    post([event(eventId="e-1")])
    post([event(eventId="e-2", source="shop"), event(eventId="e-1")])
    post([event()], token=None)
    listed = call("/requests").json()
    assert listed["count"] == 3
    unauthorized, refused, accepted = listed["requests"]
    reason = 'events[0].source: must be one of web, app, offline, got "shop" (eventId e-2)'
    assert {**refused, "latency": 0} == {
        "number": 2,
        "received_at": NOW,
        "latency": 0,
        "status": 400,
        "outcome": "refused",
        "events": 2,
        "event_ids": ["e-2", "e-1"],
        "reasons": [reason],
        "problems": [
            {
                "index": 0,
                "event_id": "e-2",
                "field": "source",
                "rule": "must be one of web, app, offline",
                "value": '"shop"',
            }
        ],
    }
    assert 0 < refused["latency"] < 5
    assert (accepted["outcome"], accepted["reasons"]) == ("accepted", [])
    assert (unauthorized["status"], unauthorized["events"]) == (401, None)
    assert call("/requests?limit=1").json()["requests"] == [unauthorized]
    assert call("/requests?event_id=e-2").json() == {"count": 1, "requests": [refused]}
    assert sandbox.requests[1].reasons == (reason,)


@pytest.mark.parametrize("limit", ["-1", "x", "1.5", "", "²", "9" * 5000])
def test_rejects_an_invalid_limit(call: Call, limit: str) -> None:
    """A limit that is not a whole number is rejected with a reason."""
    for path in ("/events", "/requests"):
        answer = call(path, params={"limit": limit})
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("limit: must be a whole number")


def test_keeps_the_newest(post: Post) -> None:
    """Only the newest events and requests are kept; counts stay exact."""
    with Sandbox(max_events=3, max_requests=2, clock=lambda: NOW) as small:
        for n in range(4):
            post([event(eventId=f"e-{n}"), event(eventId=f"f-{n}")], to=small)
        post([event(eventId="e-0")], to=small)
    assert [kept["eventId"] for kept in small.events] == ["e-3", "f-3", "e-0"]
    assert [kept.events for kept in small.requests] == [2, 1]
    assert (small.stats.accepted, small.stats.requests, small.stats.duplicates) == (9, 5, 1)


def test_reset(sandbox: Sandbox, post: Post, call: Call) -> None:
    """DELETE /events removes events, requests, counts and faults."""
    post([event(), event()])
    sandbox.add_faults({"kind": "status", "status": 500})
    assert call("/events", "DELETE").status_code == 204
    assert (sandbox.events, sandbox.requests, sandbox.faults) == ([], [], [])
    post([event()])
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (1, 0)
    assert (sandbox.stats.requests, sandbox.stats.largest_batch) == (1, 1)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/conversions/a-1b2c", 405), ("PUT", "/events", 405)],
)
def test_other_paths(sandbox: Sandbox, call: Call, method: str, path: str, status: int) -> None:
    """Requests to other paths and methods are answered, but do not count as requests."""
    answer = call(path, method)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert sandbox.requests == []
