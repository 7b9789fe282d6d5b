"""The sandbox's answers to requests under the API's rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import msgspec
import pytest
from contract_cases import ACCEPTED, FIELDS, REFUSED, REFUSED_IDS
from sandbox_support import DAY, NOW, event, events, messages

from target_liveintent.sandbox import Sandbox
from target_liveintent.sandbox.rules import SCHEMAS, other_violations, schema_violations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_support import Call, Post


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(sandbox: Sandbox, post: Post, changes: dict[str, Any]) -> None:
    """An event within the rules is answered with an empty 204 and kept as it came."""
    answer = post([event(changes)])
    assert (answer.status_code, answer.content) == (204, b"")
    assert sandbox.events == [event(changes)]


@pytest.mark.parametrize(("changes", "rules"), REFUSED)
def test_refuses(sandbox: Sandbox, post: Post, changes: Any, rules: list[str]) -> None:
    """An event that breaks a rule is refused, and the message names event, field and rule."""
    *_, (path, value) = changes.items()
    got = "" if value is ... else f", got {json.dumps(value)}"
    said = "; ".join(f"events[0].{path}: {rule}{got}" for rule in rules)
    answer = post([event(changes)])
    assert answer.status_code == 400
    assert messages(answer) == [f"{said} (eventId order-1001)"]
    assert sandbox.events == []


@pytest.mark.parametrize(("event_id", "said"), REFUSED_IDS)
def test_refuses_without_id(post: Post, event_id: Any, said: str) -> None:
    """An event without a valid eventId is named by its position alone."""
    assert messages(post([event(eventId=event_id)])) == [f"events[0].eventId: {said}"]


@pytest.mark.parametrize(
    ("source", "age", "codes"),
    [
        ("web", 0, ["NOT_IN_THE_PAST"]),
        ("web", 1, []),
        ("app", 7 * DAY, []),
        ("app", 7 * DAY + 1, ["TOO_OLD"]),
        ("offline", 30 * DAY, []),
        ("offline", 30 * DAY + 1, ["TOO_OLD"]),
        (["offline"], 7 * DAY + 1, ["TOO_OLD"]),
    ],
)
def test_windows_to_the_second(source: Any, age: int, codes: list[str]) -> None:
    """An event must be earlier than now and at most 7 or 30 days old, exact to the second."""
    made = event(source=source, eventTime=1_800_000_000 - age)
    assert [found.code for found in other_violations(made, 1_800_000_000)] == codes


@pytest.mark.parametrize("path", FIELDS)
def test_refuses_null(post: Post, path: str) -> None:
    """No field may be null."""
    [message] = messages(post([event({path: None})]))
    assert f"events[0].{path}: must not be null" in message


@pytest.mark.parametrize("item", [None, 1, "text", [], True])
def test_refuses_items_that_are_not_objects(post: Post, item: Any) -> None:
    """An array may contain only objects."""
    [message] = messages(post([item]))
    assert message.startswith("events[0]: must ")


def test_every_keyword_of_the_schema_is_tested() -> None:
    """Each keyword of the event's schema changes the result of one of the cases above."""
    cases = [*ACCEPTED.values(), *(changes for changes, _ in REFUSED)]
    cases += [{"eventId": event_id} for event_id, _ in REFUSED_IDS]
    tried = [None, *map(event, cases)]

    def violations(schemas: Any) -> list[Any]:
        schema = {"$ref": "#/schemas/ConversionEvent", "schemas": schemas}
        text = json.dumps(schema).replace("#/components/", "#/")
        compiled = jsonschema_rs.Draft202012Validator(json.loads(text), validate_formats=True)
        return [list(schema_violations(compiled, one)) for one in tried]

    expected = violations(SCHEMAS)
    untested = [
        path
        for name in ("ConversionEvent", "UserData", "PurchaseData")
        for path in _keywords(SCHEMAS[name], (name,))
        if violations(_without(SCHEMAS, path)) == expected
    ]
    assert untested == []


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"token": None}, 401, "UNAUTHORIZED"),
        ({"token": "Bearer wrong"}, 401, "UNAUTHORIZED"),
        ({"token": "sandbox-token"}, 401, "UNAUTHORIZED"),
        ({"path": "/conversions/b-1b2c"}, 403, "FORBIDDEN"),
    ],
)
def test_accepts_one_customer_only(
    sandbox: Sandbox, post: Post, wrong: dict[str, Any], status: int, code: str
) -> None:
    """Nothing is accepted without the right token and customer ID."""
    answer = post([event()], **wrong)
    [entry] = answer.json()["errors"]
    assert (answer.status_code, entry["httpStatus"], entry["errorCode"]) == (status, status, code)
    assert (sandbox.stats.accepted, sandbox.stats.requests) == (0, 1)


def test_serves_the_older_path(sandbox: Sandbox, post: Post) -> None:
    """The path on the older page of the guide works, too."""
    assert post([event()], path="/a-1b2c/events").status_code == 204
    assert sandbox.stats.accepted == 1


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded", None],
)
def test_accepts_any_content_type(post: Post, content_type: str | None) -> None:
    """The body is JSON, whatever it is declared as; curl declares it as a form."""
    body = json.dumps([event()]).encode()
    assert post(body, content_type=content_type).status_code == 204
    assert post(b"{", content_type=content_type).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[", b"[1,]", b'[{"purchaseData": {"value": NaN}}]', b"[Infinity]", b"[1e999]"),
        *(b'["\xff"]', b'["\\ud800"]', b"[" * 100_000),
    ],
    ids=lambda body: repr(body[:40]),
)
def test_refuses_invalid_json(post: Post, body: bytes) -> None:
    """A body that is not valid JSON is refused, also with NaN, Infinity or a number too large."""
    answer = post(body)
    assert (answer.status_code, answer.json()["errors"][0]["errorCode"]) == (400, "INVALID_JSON")


@pytest.mark.parametrize("body", [{}, "text", 1, None, True])
def test_refuses_other_types_than_an_array(post: Post, body: Any) -> None:
    """A body of another type than an array is refused."""
    answer = post(json.dumps(body).encode())
    assert (answer.status_code, messages(answer)) == (400, ["body: must be an array of events"])


@pytest.mark.parametrize(("size", "status"), [(0, 400), (1, 204), (100, 204), (101, 400)])
def test_limits_the_batch_size(sandbox: Sandbox, post: Post, size: int, status: int) -> None:
    """A request must contain 1 to 100 events."""
    assert post(events(size)).status_code == status
    assert sandbox.stats.accepted == (size if status == 204 else 0)
    assert sandbox.stats.largest_batch == size


def test_refuses_the_whole_batch(sandbox: Sandbox, post: Post) -> None:
    """One invalid event fails its batch; only invalid events have an entry."""
    batch = events(4)
    batch[1]["eventTime"], batch[3]["source"] = int(NOW) - 8 * DAY, "shop"
    answer = post(batch)
    assert sandbox.events == []
    assert answer.json()["errors"] == [
        {
            "httpStatus": 400,
            "message": "events[1].eventTime: older than 7 days, got 1799308800 (eventId e-1)",
            "errorCode": "TOO_OLD",
        },
        {
            "httpStatus": 400,
            "message": 'events[3].source: must be one of web, app, offline, got "shop" '
            "(eventId e-3)",
            "errorCode": "NOT_ALLOWED",
        },
    ]


def test_limits_the_error_body_to_ten_events(post: Post) -> None:
    """An error body has at most ten entries."""
    named = [entry.partition(".")[0] for entry in messages(post(events(12, eventTime=1)))]
    assert named == [f"events[{n}]" for n in range(10)]


def test_shortens_long_values(post: Post) -> None:
    """A message repeats only the start of a long value, and names at most five fields."""
    [message] = messages(post([event({f"x{n}": "v" * 1000 for n in range(9)})]))
    assert message.count("unknown field") == 5
    assert len(message) < 1000


def test_does_not_echo_values(post: Post) -> None:
    """Without `echo_values` no message repeats what was sent."""
    with Sandbox(echo_values=False, clock=lambda: NOW) as quiet:
        answer = post([event({"userData.ip": "secret"})], to=quiet)
    assert messages(answer) == [
        "events[0].userData.ip: must be an IPv4 or IPv6 address (eventId order-1001)"
    ]


def test_serves_the_openapi_document(call: Call) -> None:
    """The OpenAPI document is served, and all its references can be resolved."""
    answer = call("/openapi.json")
    document = answer.json()
    assert answer.headers["Content-Type"] == "application/json"
    assert document["openapi"].startswith("3.1.")
    for reference in _references(document):
        found = document
        for key in reference.removeprefix("#/").split("/"):
            found = found[key]


def _keywords(schema: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the paths of all keywords that constrain values."""
    for key, value in schema.items():
        if key in ("description", "$ref", "then") or value == "int64":
            continue
        if key == "properties":
            for name, nested in value.items():
                yield from _keywords(nested, (*path, key, name))
        else:
            yield (*path, key)


def _without(schemas: Any, path: tuple[str, ...]) -> Any:
    copied = json.loads(msgspec.json.encode(schemas))
    *parents, last = path
    owner = copied
    for key in parents:
        owner = owner[key]
    del owner[last]
    return copied


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        node = dict(enumerate(node))
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from _references(value)
