"""Scripted faults as a client sees them."""

import time
from typing import Any

import pytest
import requests
from sandbox_support import Call, Post, event, events, messages

from target_liveintent.sandbox import Sandbox


def statuses(post: Post, times: int) -> list[int]:
    return [post([event()]).status_code for _ in range(times)]


def test_a_status_takes_the_place_of_the_answer(sandbox: Sandbox, post: Post) -> None:
    """A status fault answers any request with its headers, accepts nothing, and ends by itself."""
    fault = {"kind": "status", "status": 429, "headers": {"Retry-After": "2"}, "times": 3}
    sandbox.add_faults(fault)
    answer = post([event()])
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
    assert messages(answer) == ["scripted fault: status 429"]
    assert [post(b"no json").status_code, post([], token=None).status_code] == [429, 429]
    assert sandbox.events == []
    assert statuses(post, 1) == [204]


@pytest.mark.parametrize(
    ("when", "source", "accepted"),
    [
        pytest.param("before", "web", 0, id="before good events"),
        pytest.param("after", "web", 1, id="after good events"),
        pytest.param("after", "shop", 0, id="after bad events"),
    ],
)
def test_a_drop_closes_the_connection_before_or_after_the_events_count(
    sandbox: Sandbox, post: Post, when: str, source: str, accepted: int
) -> None:
    """A drop closes the connection unanswered, before or after good events are accepted."""
    sandbox.add_faults({"kind": "drop", "when": when})
    with pytest.raises(requests.ConnectionError):
        post([event(source=source)])
    assert sandbox.stats.accepted == len(sandbox.events) == accepted
    assert sandbox.stats.by_status == {"dropped": 1}
    assert statuses(post, 1) == [204]


def test_latencies_add_up(sandbox: Sandbox, post: Post) -> None:
    """Latencies add up, and combine with other faults."""
    delay = {"kind": "latency", "seconds": 0.06}
    sandbox.add_faults(delay, {"kind": "status", "status": 599}, delay)
    started = time.monotonic()
    assert post([event()]).status_code == 599
    assert time.monotonic() - started >= 0.12
    assert sandbox.faults == {}


def test_latency_ends_with_the_sandbox(
    http: requests.Session, caplog: pytest.LogCaptureFixture
) -> None:
    """A sandbox that stops does not wait for a long scripted latency."""
    with Sandbox() as sandbox:
        sandbox.add_faults({"kind": "latency", "seconds": 600})
        with pytest.raises(requests.Timeout):
            http.post(f"{sandbox.url}/conversions/a-1b2c", timeout=0.05)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    assert caplog.records == []


@pytest.mark.parametrize(
    "selection",
    [
        pytest.param({"event_ids": ["e-2"]}, id="by event ID"),
        pytest.param({"where": {"purchaseData.orderId": "X-7"}}, id="by a value"),
        pytest.param(
            {"where": {"purchaseData.orderId": "X-7", "source": "web"}}, id="by two values"
        ),
        pytest.param(
            {"event_ids": ["other"], "where": {"purchaseData.orderId": "X-7"}},
            id="by another ID, or value",
        ),
    ],
)
def test_a_refusal_names_its_events(sandbox: Sandbox, post: Post, selection: Any) -> None:
    sandbox.add_faults({"kind": "refuse", "times": None, **selection})
    others = [event(eventId="e-1"), event(eventId="e-3")]
    bad = event({"eventId": "e-2", "purchaseData.orderId": "X-7"})
    for _ in range(2):
        answer = post([others[0], bad, others[1]])
        assert answer.status_code == 400
        assert messages(answer) == ["events[1]: refused by a scripted fault (eventId e-2)"]
    assert post(others).status_code == 204
    assert sandbox.events == others
    sandbox.add_faults({"kind": "refuse", "where": {"purchaseData.orderId": "1001", "pixelId": 7}})
    assert post(others).status_code == 204  # An event has all values of `where`, or goes.


def test_partial_success_accepts_all_events_but_its_own(sandbox: Sandbox, post: Post) -> None:
    sandbox.add_faults({"kind": "partial", "event_ids": ["e-9", "e-2", "e-1"]})
    assert post([event(eventId="e-0")]).status_code == 204
    answer = post(events(4))
    assert (answer.status_code, answer.json()) == (200, ["e-1", "e-2"])
    assert [kept["eventId"] for kept in sandbox.events] == ["e-0", "e-0", "e-3"]
    assert statuses(post, 1) == [204]


def test_a_partial_success_can_name_the_processed_events(sandbox: Sandbox, post: Post) -> None:
    """So that people can try what the setting `partial_answer` does."""
    sandbox.add_faults({"kind": "partial", "event_ids": ["e-2"], "names": "processed"})
    answer = post(events(4))
    assert (answer.status_code, answer.json()) == (200, ["e-0", "e-1", "e-3"])
    assert [kept["eventId"] for kept in sandbox.events] == ["e-0", "e-1", "e-3"]


def test_faults_apply_one_at_a_time(sandbox: Sandbox, post: Post) -> None:
    """The first fault that matches applies. An invalid batch uses up none about single events."""
    sandbox.add_faults(
        {"kind": "refuse", "event_ids": ["other"]}, {"kind": "partial", "event_ids": ["order-1001"]}
    )
    assert "older" in messages(post([event(eventTime=1)]))[0]
    sandbox.add_faults(
        {"kind": "status", "status": 500, "times": 2}, {"kind": "status", "status": 503}
    )
    assert statuses(post, 5) == [200, 500, 500, 503, 204]
    assert len(sandbox.faults) == 1


def test_faults_over_http(post: Post, call: Call) -> None:
    """Faults can be added, listed with the times that are left, and removed, alone or all."""
    fault = {"kind": "status", "status": 503, "times": 3}
    first, second = call("/faults", "POST", json=[fault, {**fault, "times": None}]).json()["faults"]
    assert statuses(post, 1) == [503]
    assert call("/faults").json()["faults"] == {
        first: {**fault, "times": 2},
        second: {**fault, "times": None},
    }
    assert call(f"/faults/{first}", "DELETE").status_code == 204
    assert list(call("/faults").json()["faults"]) == [second]
    assert call("/faults", "DELETE").status_code == 204
    assert call("/faults").json() == {"faults": {}}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": "fire"}, "Invalid value 'fire'"),
    ({"kind": "status"}, "missing required field `status`"),
    ({"kind": "status", "status": 399}, "`int` >= 400"),
    ({"kind": "status", "status": 600}, "`int` <= 599"),
    ({"kind": "status", "status": 500, "times": 0}, "`int` >= 1"),
    ({"kind": "latency", "seconds": 600.1}, "`float` <= 600"),
    ({"kind": "status", "status": 500, "header": {}}, "unknown field `header`"),
    ({"kind": "drop", "when": "later"}, "Invalid enum value 'later'"),
    ({"kind": "refuse"}, "needs `event_ids` or `where`"),
]


@pytest.mark.parametrize(("fault", "message"), WRONG, ids=[str(fault) for fault, _ in WRONG])
def test_rejects_an_invalid_fault(
    sandbox: Sandbox, call: Call, fault: dict[str, Any], message: str
) -> None:
    """An invalid fault is rejected with its position, and no fault of the list is added."""
    good = {"kind": "status", "status": 400}
    answer = call("/faults", "POST", json=[good, fault])
    assert answer.status_code == 422
    assert message in answer.json()["error"]
    assert "$[1]" in answer.json()["error"]
    assert sandbox.faults == {}


def test_what_is_refused_over_http(call: Call) -> None:
    """Faults must be a JSON array, declared as JSON; what is not there is not shown.

    (A page of another site can make a browser send text, but not JSON.)
    """
    for path in ("/batches/0", "/static/..%2fserver.py"):
        assert call(path).status_code == 404
    for body, content_type, status in (
        (b"[", "application/json", 422),
        (b"[]", "text/plain", 415),
        (b"[]", None, 415),
    ):
        answer = call("/faults", "POST", data=body, headers={"Content-Type": content_type})
        assert (answer.status_code, list(answer.json())) == (status, ["error"])
