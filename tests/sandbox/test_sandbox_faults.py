"""Scripted faults as a client sees them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
from sandbox_support import NOW, event, events, messages

from target_liveintent.sandbox import Sandbox
from target_liveintent.sandbox.faults import FaultError

if TYPE_CHECKING:
    from sandbox_support import Call, Post


UNSCRIPTED = (
    '{"errors":[{"httpStatus":503,"message":"scripted fault: status 503",'
    '"errorCode":"SCRIPTED_FAULT"}]}'
)


def statuses(post: Post, times: int, **options: Any) -> list[int]:
    return [post([event()], **options).status_code for _ in range(times)]


@pytest.mark.parametrize(
    ("scripted", "content_type", "text"),
    [
        ({"body": {"why": "tired"}}, "application/json", '{"why":"tired"}'),
        ({"body": None}, "application/json", "null"),
        ({"body": "<h1>busy</h1>"}, "text/plain; charset=utf-8", "<h1>busy</h1>"),
        ({"body": "<i>", "headers": {"Content-Type": "text/html"}}, "text/html", "<i>"),
        ({}, "application/json", UNSCRIPTED),
    ],
)
def test_status(sandbox: Sandbox, post: Post, scripted: Any, content_type: str, text: str) -> None:
    """A status fault answers as scripted and accepts nothing."""
    sandbox.add_faults({"kind": "status", "status": 503, **scripted})
    answer = post([event()])
    assert (answer.status_code, answer.text) == (503, text)
    assert answer.headers["Content-Type"] == content_type
    assert sandbox.events == []


def test_status_headers_and_times(sandbox: Sandbox, post: Post) -> None:
    """A status fault sends its headers, and is removed after `times` requests."""
    headers = {"Retry-After": "2"}
    sandbox.add_faults({"kind": "status", "status": 429, "headers": headers, "times": 2})
    assert post([event()]).headers["Retry-After"] == "2"
    assert statuses(post, 3) == [429, 204, 204]


def test_status_without_body(sandbox: Sandbox, post: Post) -> None:
    """A scripted 204 has no body, and accepts nothing, either."""
    sandbox.add_faults({"kind": "status", "status": 204})
    answer = post([event()])
    assert (answer.status_code, answer.content, sandbox.stats.accepted) == (204, b"", 0)


def test_status_applies_to_invalid_requests(sandbox: Sandbox, post: Post) -> None:
    """A status fault answers every request, like a gateway that is down."""
    sandbox.add_faults({"kind": "status", "status": 502, "times": None})
    assert post(b"no json").status_code == 502
    assert post([], token=None).status_code == 502


@pytest.mark.parametrize(
    ("when", "source", "accepted"),
    [("before", "web", 0), ("after", "web", 1), ("after", "shop", 0)],
)
def test_drop(sandbox: Sandbox, post: Post, when: str, source: str, accepted: int) -> None:
    """A drop closes the connection unanswered, before or after good events are accepted."""
    sandbox.add_faults({"kind": "drop", "when": when})
    with pytest.raises(requests.ConnectionError):
        post([event(source=source)])
    assert sandbox.stats.accepted == accepted
    assert sandbox.stats.by_status == {"dropped": 1}
    assert post([event()]).status_code == 204


def test_latencies_add_up(sandbox: Sandbox, post: Post) -> None:
    """Latencies add up, combine with other faults, and appear in the log."""
    delay = {"kind": "latency", "seconds": 0.03}
    sandbox.add_faults(delay, {"kind": "status", "status": 500}, delay)
    started = time.monotonic()
    assert post([event()]).status_code == 500
    assert time.monotonic() - started >= 0.06
    assert sandbox.requests[0].latency >= 0.06
    assert sandbox.faults == []


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
        {"event_ids": ["e-2"]},
        {"where": {"purchaseData.orderId": "X-7"}},
        {"where": {"purchaseData.orderId": "X-7", "source": "web"}},
        {"event_ids": ["other"], "where": {"purchaseData.orderId": "X-7"}},
    ],
)
def test_refuse(sandbox: Sandbox, post: Post, selection: Any) -> None:
    """A batch with a selected event is refused every time, and the answer names the event."""
    sandbox.add_faults({"kind": "refuse", **selection})
    others = [event(eventId="e-1"), event(eventId="e-3")]
    bad = event({"eventId": "e-2", "purchaseData.orderId": "X-7"})
    for _ in range(2):
        answer = post([others[0], bad, others[1]])
        assert answer.status_code == 400
        assert messages(answer) == ["events[1]: refused by a scripted fault (eventId e-2)"]
    assert post(others).status_code == 204
    assert sandbox.events == others


def test_refuse_needs_all_values_of_where(sandbox: Sandbox, post: Post) -> None:
    """An event is selected only if it has every value in `where`."""
    where = {"purchaseData.orderId": "1001", "source": "app", "userData.ip.x": 1}
    sandbox.add_faults({"kind": "refuse", "where": where})
    assert post([event()]).status_code == 204


def test_partial(sandbox: Sandbox, post: Post) -> None:
    """A partial success names the scripted events of the batch and accepts the others."""
    sandbox.add_faults({"kind": "partial", "event_ids": ["e-9", "e-2", "e-1"]})
    assert post([event(eventId="e-0")]).status_code == 204
    answer = post(events(4))
    assert (answer.status_code, answer.json()) == (200, ["e-1", "e-2"])
    assert [kept["eventId"] for kept in sandbox.events] == ["e-0", "e-0", "e-3"]
    assert statuses(post, 1) == [204]


def test_invalid_batches_do_not_use_up_refuse_and_partial(sandbox: Sandbox, post: Post) -> None:
    """An invalid batch does not use up the faults about single events."""
    ids = {"event_ids": ["order-1001"]}
    sandbox.add_faults({"kind": "refuse", **ids}, {"kind": "partial", **ids})
    assert "older" in messages(post([event(eventTime=1)]))[0]
    assert len(sandbox.faults) == 2


def test_first_matching_fault_applies(sandbox: Sandbox, post: Post) -> None:
    """Faults apply in the order in which they were added, one at a time."""
    sandbox.add_faults(
        {"kind": "refuse", "event_ids": ["other"]},
        {"kind": "status", "status": 500, "times": 2},
        {"kind": "status", "status": 503},
    )
    assert statuses(post, 4) == [500, 500, 503, 204]


def test_probability_is_seeded(post: Post) -> None:
    """With the same seed, the same requests fail; a skipped request uses up no time."""
    fault = {"kind": "status", "status": 500, "probability": 0.5, "times": 10}
    runs = []
    for _ in range(2):
        with Sandbox(seed=3, clock=lambda: NOW) as sandbox:
            sandbox.add_faults(fault)
            runs.append(statuses(post, 60, to=sandbox))
    assert runs[0] == runs[1]
    assert runs[0].count(500) == 10
    assert 204 in runs[0][: 60 - runs[0][::-1].index(500)]


def test_faults_over_http(post: Post, call: Call) -> None:
    """Faults can be added, listed with the times that are left, and cleared over HTTP."""
    fault = {"kind": "status", "status": 503, "times": 3}
    assert call("/faults", "POST", json=[fault]).json()["count"] == 1
    assert statuses(post, 1) == [503]
    [listed] = call("/faults").json()["faults"]
    assert listed.items() >= {**fault, "times": 2}.items()
    assert call("/faults", "DELETE").status_code == 204
    assert call("/faults").json() == {"count": 0, "faults": []}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": "fire"}, "Invalid value 'fire'"),
    ({"status": 500}, "missing required field `kind`"),
    ({"kind": "status"}, "missing required field `status`"),
    ({"kind": "status", "status": 99}, "`int` >= 200"),
    ({"kind": "status", "status": 600}, "`int` <= 599"),
    ({"kind": "status", "status": 500, "header": {}}, "unknown field `header`"),
    ({"kind": "status", "status": 500, "headers": {"Retry-After": 2}}, "Expected `str`"),
    ({"kind": "status", "status": 500, "headers": {"a b": "c"}}, "`a b` is not a valid header"),
    ({"kind": "status", "status": 500, "headers": {"a": "b\r\nc: d"}}, "not printable ASCII"),
    ({"kind": "status", "status": 500, "headers": {"Content-Length": "1"}}, "can set the header"),
    ({"kind": "status", "status": 204, "body": "x"}, "204 cannot have a `body`"),
    ({"kind": "status", "status": 500, "times": 0}, "`int` >= 1"),
    ({"kind": "status", "status": 500, "probability": 1.5}, "`float` <= 1"),
    ({"kind": "status", "status": 500, "probability": 0}, "`float` > 0"),
    ({"kind": "latency", "seconds": -1}, "`float` >= 0"),
    ({"kind": "drop", "when": "later"}, "Invalid enum value 'later'"),
    ({"kind": "refuse"}, "needs `event_ids` or `where`"),
    ({"kind": "partial", "event_ids": []}, "length >= 1"),
]


@pytest.mark.parametrize(("fault", "message"), WRONG, ids=[str(fault) for fault, _ in WRONG])
def test_rejects_an_invalid_fault(
    sandbox: Sandbox, call: Call, fault: dict[str, Any], message: str
) -> None:
    """An invalid fault is rejected with its position, and no fault of the list is added."""
    good = {"kind": "status", "status": 500}
    answer = call("/faults", "POST", json=[good, fault])
    assert answer.status_code == 422
    assert message in answer.json()["error"]
    assert "$[1]" in answer.json()["error"]
    with pytest.raises(FaultError):
        sandbox.add_faults(good, fault)
    assert sandbox.faults == []


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"[", "application/json", 422),
        (b"\xff", "application/json", 422),
        (b"{}", "application/json", 422),
        (b"[]", "text/plain", 415),
    ],
)
def test_rejects_other_bodies_than_a_json_array(
    call: Call, body: bytes, content_type: str, status: int
) -> None:
    """Faults must be a JSON array, declared as JSON."""
    answer = call("/faults", "POST", data=body, headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert answer.json()["error"]
