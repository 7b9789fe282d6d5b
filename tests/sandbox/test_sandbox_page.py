"""The page and its data over HTTP: filters, problems, single events, changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests
from sandbox_support import NOW, TOKEN, event, events

from target_liveintent.sandbox import Sandbox
from target_liveintent.sandbox.masking import MASK, mask_addresses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_support import Call, Post

ADDRESS = "jane.doe@example.com"
FILES = ("style.css", "main.js", "dom.js", "events.js", "batches.js", "faults.js")


def look(call: Call, to: Sandbox | None = None, **query: Any) -> Any:
    """Return the data of the page."""
    answer = call("/look", params=query, **({"to": to} if to else {}))
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(found: Any) -> list[str]:
    return [row["id"] for row in found["events"]["rows"]]


# Files


@pytest.mark.parametrize("path", ["/", *(f"/page/{name}" for name in FILES)])
def test_files(call: Call, path: str) -> None:
    """The page may load only its own files, and inserts text only as text."""
    answer = call(path)
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    text = answer.text.replace("http://www.w3.org/2000/svg", "")
    for unwanted in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert unwanted not in text
    for unwanted in ("http:", "https:", "@import", "{{", "<script>", "<style>", " style="):
        assert unwanted not in text


def test_index(call: Call) -> None:
    """The page shows the path for sending events, refers to files that exist, and no token."""
    answer = call("/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "POST /conversions/a-1b2c" in answer.text
    assert '"page/style.css"' in answer.text
    assert '"page/main.js"' in answer.text
    assert TOKEN.partition(" ")[2] not in answer.text + call("/look").text


@pytest.mark.parametrize("name", ["index.html", "__init__.py", "nothing", "..%2fapp.py"])
def test_no_other_files(call: Call, name: str) -> None:
    """No other files are served."""
    assert call(f"/page/{name}").status_code == 404


# Data


def test_coverage(sandbox: Sandbox, post: Post) -> None:
    """Coverage counts the accepted events that have a field, and no refused events."""
    md5, sha2 = "ab" * 16, "ab" * 32
    post(
        [
            event(userData={"md5": md5, "sha2": sha2, "ip": "192.0.2.1"}, decisionId="d"),
            event(userData={"sha2": sha2, "ua": "x"}, purchaseData={}),
            event(userData={"idfa": "6D92078A-8246-4BA4-AE5B-76104861E7DC"}, decisionId="d"),
        ]
    )
    post([event(source="shop")])
    assert sandbox.stats.coverage == {
        "md5": 1,
        "sha2": 2,
        "md5 and sha2": 1,
        "decisionId": 2,
        "ip": 1,
        "ua": 1,
        "idfa or aaid": 1,
        "orderId": 2,
        "value": 2,
        "currency": 2,
    }
    sandbox.reset()
    assert set(sandbox.stats.coverage.values()) == {0}


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["fault-1", "late-2", "late-1", "bad-2", "bad-1", "app-1", "web-2", "web-1"]),
    ({"limit": 2}, ["fault-1", "late-2"]),
    ({"source": "app"}, ["app-1"]),
    ({"source": "other"}, ["bad-1"]),
    ({"outcome": "accepted"}, ["late-2", "app-1", "web-2", "web-1"]),
    ({"outcome": "refused"}, ["bad-2", "bad-1"]),
    ({"outcome": "partial"}, ["late-1"]),
    ({"outcome": "fault"}, ["fault-1"]),
    ({"pixel": 77}, ["web-2"]),
    ({"request": 2}, ["bad-2", "bad-1"]),
    ({"search": "Zürich"}, ["web-1"]),
    ({"search": 'a"b'}, ["app-1"]),
    ({"search": "late", "outcome": "accepted"}, ["late-2"]),
    ({"source": "app", "outcome": "refused"}, []),
    (
        {**dict.fromkeys(("outcome", "source", "pixel", "request", "search"), ""), "limit": 1},
        ["fault-1"],
    ),
]


def test_filters(sandbox: Sandbox, post: Post, call: Call) -> None:
    """Events are listed newest first, and filtered by outcome and by content."""
    post(
        [
            event({"purchaseData.orderId": "Zürich"}, eventId="web-1"),
            event(eventId="web-2", pixelId=77),
            event({"purchaseData.orderId": 'a"b'}, eventId="app-1", source="app"),
        ]
    )
    post([event(eventId="bad-1", source="shop"), event(eventId="bad-2")])
    sandbox.add_faults({"kind": "partial", "event_ids": ["late-1"]})
    post([event(eventId="late-1"), event(eventId="late-2")])
    sandbox.add_faults({"kind": "status", "status": 500})
    post([event(eventId="fault-1")])
    for query, expected in FILTERS:
        found = look(call, **query)
        assert ids(found) == expected, query
        assert found["events"]["kept"] == 8
        assert found["events"]["count"] == (len(expected) if "limit" not in query else 8)
        assert found["pixels"] == [77, 12345]


def test_filters_batches(post: Post, call: Call) -> None:
    """Batches are listed newest first, and filtered by outcome."""
    for n in range(3):
        post([event()])
        post([event(source=f"shop-{n}")])
    found = look(call, batch_outcome="refused", batch_limit=2)["batches"]
    assert (found["count"], found["kept"]) == (3, 6)
    assert [row["number"] for row in found["rows"]] == [6, 4]


@pytest.mark.parametrize(
    "query", [{"outcome": "x"}, {"limit": 501}, {"limit": 0}, {"pixel": "a"}, {"colour": "red"}]
)
def test_rejects_an_invalid_query(call: Call, query: dict[str, Any]) -> None:
    """An invalid query is rejected with a reason."""
    answer = call("/look", params=query)
    assert (answer.status_code, list(answer.json())) == (422, ["error"])


def test_problems(post: Post, call: Call) -> None:
    """A refused batch lists event, rule and value of each problem; addresses are masked."""
    bad = event({"eventId": "e-1", "source": "shop", "userData.email": ADDRESS})
    post([event(eventId="e-0"), bad, event({"eventId": "e-2", "userData.md5": ...})])
    post([event()], token=None)
    denied, refused = look(call)["batches"]["rows"]
    assert refused["problems"] == [
        {
            "index": 1,
            "event_id": "e-1",
            "field": "source",
            "rule": "must be one of web, app, offline",
            "value": '"shop"',
        },
        {
            "index": 1,
            "event_id": "e-1",
            "field": "userData.email",
            "rule": "unknown field",
            "value": f'"{MASK}"',
        },
        {"index": 2, "event_id": "e-2", "field": "decisionId", "rule": "required"},
    ]
    assert denied["problems"] == [{"event_id": None, "rule": "the token is missing or wrong"}]


def test_shows_no_address(sandbox: Sandbox, post: Post, call: Call) -> None:
    """No data of the page contains any part of an address, wherever the event contains it."""
    post([event({"purchaseData.orderId": f"{'x' * 74} {ADDRESS}"}, eventId=ADDRESS)])
    post([event(userData={ADDRESS: f"{'x' * 53} {ADDRESS}"}, source=ADDRESS, eventId=ADDRESS)])
    sandbox.add_faults({"kind": "refuse", "event_ids": [ADDRESS], "times": 2})
    post([event(eventId=ADDRESS)])
    asked = ["/look", *(f"/look/events/{n}" for n in (1, 2, 3))]
    for text in (call(path).text for path in asked):
        assert MASK in text
        assert "jane" not in text
        json.loads(text)
    assert sandbox.events[0]["eventId"] == ADDRESS  # Python gets the event as it arrived


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nothing to hide", "nothing to hide"),
        ("jane@example.com", MASK),
        ("see <jane@example.com>, or bob@x.example.", f"see <{MASK}>, or {MASK}"),
        ("https://shop.example/?e=jane%40example.com&x=1", f"https://shop.example/?e={MASK}&x=1"),
        (r"\njane@example.com", rf"\n{MASK}"),
        (r"\u00e9jane@example.com", rf"\u00e9{MASK}"),
        (r"\"jane doe\"@example.com", MASK),
        ("jäne@exämple.com", MASK),
        ('{"a": "jane@example.com"}', f'{{"a": "{MASK}"}}'),
    ],
)
def test_masks_addresses(text: str, shown: str) -> None:
    """Addresses in JSON text are masked; masking the result again changes nothing."""
    assert mask_addresses(text) == shown
    assert mask_addresses(shown) == shown


def test_one_event(post: Post, call: Call) -> None:
    """One event is shown with its batch, and with its numbers exactly as they arrived."""
    body = (
        b'[{"eventId": "e-1", "eventTime": 12345678901234567890, "pixelId": 1, "source": "web",'
        b' "userData": {"md5": 29}, "purchaseData": {"value": 1e2}}]'
    )
    post([event(decisionId="d-1")])
    post(body)
    found = call("/look/events/2").json()
    assert '"eventTime": 12345678901234567890,\n' in found["json"]
    assert json.loads(found["json"]) == json.loads(body)[0]
    assert (found["outcome"], found["index"], found["batch"]["status"]) == ("refused", 0, 400)
    assert {problem["field"] for problem in found["batch"]["problems"]} >= {"userData.md5"}
    assert [row["identified"] for row in look(call)["events"]["rows"]] == [
        ["md5"],
        ["md5", "decisionId"],
    ]
    answer = call("/look/events/3")
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


@pytest.mark.parametrize(
    "item",
    [
        "null",
        "1",
        '"text"',
        "[[]]",
        "{}",
        '{"eventId": 5, "userData": [], "purchaseData": "x", "source": ["web"], "pixelId": true}',
        '{"eventId": "e", "pixelId": 1e300, "eventTime": -1e300, "purchaseData": {"value": {}}}',
        '{"eventId": "' + "x" * 100_000 + '", "source": {"a": 1}}',
        '{"pixelId": 1' + "0" * 300 + "}",
        *("[" * depth + "]" * depth for depth in (50, 240, 250, 260, 400, 900, 1000, 1010)),
    ],
    ids=lambda item: item[:40],
)
def test_shows_items_that_are_not_events(post: Post, call: Call, item: str) -> None:
    """Any item of a batch is answered, listed, and can be shown alone."""
    assert post(f"[{item}]".encode()).status_code == 400
    found = look(call)
    assert found["batches"]["rows"][0]["problems"]
    for row in found["events"]["rows"]:
        assert len(str(row)) < 1000
        assert call(f"/look/events/{row['number']}").status_code == 200


def test_removes_a_fault(sandbox: Sandbox, post: Post, call: Call) -> None:
    """A fault is removed by its number, which stays the same when the fault is used."""
    sandbox.add_faults(
        {"kind": "latency", "seconds": 0, "times": 2}, {"kind": "drop", "when": "after"}
    )
    first, second = look(call)["faults"]
    for status in (204, 404):
        assert call(f"/faults/{second['number']}", "DELETE").status_code == status
    assert post([event()]).status_code == 204
    [left] = look(call)["faults"]
    assert (left["number"], left["fault"]["times"]) == (first["number"], 1)


# Changes


def listen_for_changes(sandbox: Sandbox) -> tuple[requests.Response, Iterator[str]]:
    """Return a streaming response, and an iterator over the changes in it."""
    answer = requests.get(f"{sandbox.url}/look/changes", stream=True, timeout=5)
    lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
    return answer, (line for line in lines if line.startswith("data: "))


def test_streams_changes(sandbox: Sandbox, post: Post) -> None:
    """The stream starts with the current version; arrivals, faults and resets change it."""
    answer, changes = listen_for_changes(sandbox)
    seen = [next(changes)]
    steps = (
        lambda: post([event()]),
        lambda: post([], token=None),
        lambda: sandbox.add_faults({"kind": "status", "status": 500, "times": 2}),
        lambda: post([event()]),
        sandbox.reset,
    )
    with answer:
        for step in steps:
            step()
            seen.append(next(changes))
    assert len(set(seen)) == len(steps) + 1


def test_change_stream_ends_with_the_sandbox() -> None:
    """An open stream of changes does not delay the end of the sandbox."""
    with Sandbox() as sandbox:
        answer, changes = listen_for_changes(sandbox)
        next(changes)
    with answer:
        assert list(changes) == []


# Many events


def test_accepted_events_do_not_displace_refused_ones(post: Post, call: Call) -> None:
    """Memory is bounded, refused batches stay when accepted ones go, and the counts are exact."""
    with Sandbox(max_events=10, max_requests=4, clock=lambda: NOW) as small:
        post([event(source="shop"), event(eventId="beside")], to=small)
        for _ in range(12):
            post(events(5), to=small)
        found = look(call, to=small)
        refused = look(call, to=small, outcome="refused")
        listed = call("/events?limit=1000", to=small).json()
    assert (found["events"]["kept"], found["batches"]["kept"]) == (12, 5)
    assert ids(refused) == ["beside", "order-1001"]
    assert (found["stats"]["accepted"], found["stats"]["arrived"]) == (60, 62)
    assert found["stats"]["by_outcome"]["accepted"] == 12
    assert found["stats"]["coverage"]["md5"] == 60
    assert (listed["count"], len(listed["events"])) == (60, 10)


def test_pixels_are_bounded(post: Post, call: Call) -> None:
    """The page offers only the first pixel IDs; others can still be filtered."""
    post([event(pixelId=n) for n in range(100)])
    assert look(call)["pixels"] == list(range(50))
    assert ids(look(call, pixel=99)) == ["order-1001"]
