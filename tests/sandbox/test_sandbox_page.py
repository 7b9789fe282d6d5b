"""The page over HTTP: what it shows and hides, batches."""

import html
import json
import re
from typing import Any

import pytest
from sandbox_support import TOKEN, Call, Post, event, events

from target_liveintent.sandbox import Sandbox
from target_liveintent.sandbox.state_page import MASK, mask_addresses

ADDRESS = "jane.doe@example.com"
STATIC = ("/static/style.css", "/static/page.js")


def shown(call: Call, path: str = "/", **query: Any) -> str:
    """Return the HTML of a page, decoded, with single spaces."""
    answer = call(path, params=query)
    assert answer.status_code == 200, answer.text
    return " ".join(html.unescape(answer.text).split())


def ids(text: str) -> list[str]:
    """Return the event IDs in the list of events."""
    return re.findall(r'#event-\d+">([^<]*)</a>', text)


@pytest.mark.parametrize("path", ["/", "/batches/1", *STATIC])
def test_loads_only_its_own_files(post: Post, call: Call, path: str) -> None:
    """The pages may load only their own files, and the script inserts no text as HTML."""
    post([event()])
    answer = call(path)
    assert answer.status_code == 200
    for unwanted in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "{{", "{%"):
        assert unwanted not in answer.text
    for unwanted in ("http:", "https:", "@import", "<style>", " style=", "<script>"):
        assert unwanted not in answer.text
    if path not in STATIC:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert TOKEN.partition(" ")[2] not in answer.text


def test_shows_counts(sandbox: Sandbox, post: Post, call: Call) -> None:
    """The page shows where to send events, the counts, and the active faults."""
    for _ in range(15):
        post(events(100))
    post([event(source="shop")])
    sandbox.add_faults({"kind": "refuse", "event_ids": ["e-1"]})
    text = shown(call)
    assert "POST /conversions/a-1b2c" in text
    assert "<dt>events accepted</dt><dd>1,500</dd>" in text
    assert "<dt>batches refused</dt><dd>1</dd>" in text
    assert "<dt>duplicate events</dt><dd>1,400</dd>" in text
    assert 'id="meter-md5" max="1500" value="1500"' in text
    assert 'id="meter-sha2" max="1500" value="0"' in text
    assert '[{"kind":"refuse","event_ids":["e-1"]}]' in text
    assert 'data-path="/faults/' in text
    # Four switches have a number, which people read as well.
    assert len(re.findall(r'"(?:status|seconds)":(\d+)\b.*?soft">[^<]*\b\1\b', text)) == 4


def test_lists_the_newest(post: Post, call: Call) -> None:
    """The newest 50 batches and events are listed, the newest first."""
    for n in range(51):
        post([event(eventId=f"e-{n}")])
    post([event(source="shop", eventId="bad-1"), event(eventId="bad-2")])
    text = shown(call)
    assert ids(text) == ["bad-2", "bad-1", *(f"e-{n}" for n in range(50, 2, -1))]
    batches = [f"{n}" for n in range(52, 2, -1)]
    assert re.findall(r'"/batches/\d+">(\d+)</a>', text) == batches


def test_shows_no_address(sandbox: Sandbox, post: Post, call: Call) -> None:
    """No page contains any part of an address, wherever the event contains it."""
    post([event({"purchaseData.orderId": f"{'x' * 74} {ADDRESS}"}, eventId=ADDRESS)])
    long = f"{'x' * 53} {ADDRESS}"
    post([event(userData={ADDRESS: long}, source=ADDRESS, eventId=ADDRESS, pixelId=long)])
    sandbox.add_faults({"kind": "refuse", "event_ids": [ADDRESS], "times": 2})
    post([event(eventId=ADDRESS)])
    for path in ("/", *(f"/batches/{n}" for n in (1, 2, 3))):
        text = call(path).text
        assert MASK in text
        assert "jane" not in text
    assert sandbox.events[0]["eventId"] == ADDRESS  # Python gets the event as it arrived


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("jane@example.com", MASK),
        ("see <jane@example.com>, or bob@x.example.", f"see <{MASK}>, or {MASK}"),
        ("https://shop.example/?e=jane%40example.com&x=1", f"https://shop.example/?e={MASK}&x=1"),
        ("jäne@exämple.com", MASK),
        ('{"a": "jane@example.com"}', f'{{"a": "{MASK}"}}'),
    ],
    ids=str,
)
def test_masks_addresses(text: str, shown: str) -> None:
    """Addresses in texts and in JSON are masked."""
    assert mask_addresses(text) == shown


def test_shows_a_batch(post: Post, call: Call) -> None:
    """A batch is shown with its problems, and its events with their numbers as they arrived."""
    item = (
        '{"eventId": "e-1", "eventTime": 12345678901234567890, "pixelId": 1, "source": "web",'
        ' "userData": {"md5": 29}, "purchaseData": {"value": 1e2}}'
    )
    post(f"[{item}, {json.dumps(event(eventId='<i>e-2</i>'))}]".encode())
    answer = call("/batches/1").text
    first, second = map(html.unescape, re.findall(r"<pre>(.*?)</pre>", answer, re.DOTALL))
    assert '"eventTime": 12345678901234567890,\n' in first
    assert json.loads(first) == json.loads(item)
    assert json.loads(second) == event(eventId="<i>e-2</i>")
    assert "<i>" not in answer
    post([event()])
    for text in (shown(call), shown(call, "/batches/1")):
        assert "<li>events[0].userData.md5: value is not of type" in text
    assert ' class="time">12345678901234567890</td>' in shown(call)
    assert '<td data-head="Event"><a href="/batches/1#event-0">e-1</a></td>' in shown(call)
    assert ' class="time">2027-01-15 07:' in shown(call)
    assert '"Order"></td> <td data-head="Value" class="number">100.0 </td>' in shown(call)
    assert "problems" in shown(call, "/batches/2")
    assert "userData.md5:" not in shown(call, "/batches/2")
