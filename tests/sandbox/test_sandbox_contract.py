"""The API's rules: what the sandbox accepts and refuses."""

import json
from typing import Any

import pytest
from sandbox_support import DAY, NOW, Post, event, events, messages

from target_liveintent.sandbox import Sandbox
from target_liveintent.sandbox.contract import broken_rules

UUID = "6D92078A-8246-4BA4-AE5B-76104861E7DC"
NO_HASH = {"userData": {"ip": "192.0.2.1"}}

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"source": "app", "purchaseData.appBundle": "com.example.shop"},
    {"purchaseData.sourceUrl": "https://shop.example/thanks"},
    {**NO_HASH, "decisionId": "d-1"},
    {"userData": {"sha2": "ab" * 32}},
    {"purchaseData": {}},
    {"userData.ip": "2001:db8::1"},
    {"userData.ua": "Mozilla/5.0 (π)"},
    {"userData.idfa": "28757bwa-bd67-6d1c74bb-ae4d19ab5d34"},  # of LiveIntent's guide
    {"userData.aaid": UUID.lower()},
    {"userData.trackingEnabled": 0},
    {"purchaseData.value": -1.25},
    {"eventTime": int(NOW) + 1 - 7 * DAY},
    {"source": "app", "eventTime": int(NOW) + 1 - 7 * DAY},
    {"source": "offline", "eventTime": int(NOW) + 1 - 30 * DAY},
]

INTEGER = ' of type "integer"'
OBJECT, STRING = ' of type "object"', ' of type "string"'
WHOLE = "must be an integer without a fraction"
EARLIER = "must be earlier than the moment of sending"
SOURCES = ' one of "web", "app" or "offline"'
IP = " valid under any of the schemas listed in the 'anyOf' keyword"

REQUIRED = ("eventId", "eventTime", "pixelId", "source", "userData", "purchaseData")
STRINGS = (
    *("eventId", "decisionId", "purchaseData.currency", "purchaseData.orderId"),
    *("purchaseData.appBundle", "purchaseData.sourceUrl"),
    *(f"userData.{name}" for name in ("md5", "sha2", "ip", "ua", "idfa", "aaid")),
)

# Changes to a valid event, the field that the message names, and the ends of the rules.
REFUSED: list[tuple[dict[str, Any], str, list[str]]] = [
    *(({name: ...}, "", [f'"{name}" is a required property']) for name in REQUIRED),
    *(({name: 5}, name, [STRING]) for name in STRINGS),
    ({"eventId": ""}, "eventId", [" shorter than 1 character"]),
    ({"eventTime": 1799999000.5}, "eventTime", [INTEGER, WHOLE]),
    ({"eventTime": 1799999000.0}, "eventTime", [WHOLE]),
    ({"eventTime": 2**63}, "eventTime", [" the maximum of 9223372036854775807", EARLIER]),
    ({"eventTime": -(2**64)}, "eventTime", ["-9223372036854775808", "older than 7 days"]),
    ({"eventTime": int(NOW) + 1}, "eventTime", [EARLIER]),
    ({"eventTime": int(NOW) - 7 * DAY}, "eventTime", ["older than 7 days"]),
    ({"source": "offline", "eventTime": int(NOW) - 30 * DAY}, "eventTime", ["than 30 days"]),
    ({"pixelId": 12345.0}, "pixelId", [WHOLE]),
    ({"source": "store"}, "source", [SOURCES]),
    ({**NO_HASH, "decisionId": ...}, "", ['"decisionId" is a required property']),
    ({**NO_HASH, "decisionId": ""}, "decisionId", [" shorter than 1 character"]),
    ({"userData.email": "a@b.example"}, "userData", ["('email' was unexpected)"]),
    ({"userData.md5": "29A1DF4646CB3417C19994A59A3E022A"}, "userData.md5", ["{32}$"]),
    ({"userData.sha2": "ab" * 16}, "userData.sha2", ["{64}$"]),
    ({"userData.ip": "192.0.2.256"}, "userData.ip", [IP]),
    ({"userData.idfa": "6D92078A"}, "userData.idfa", ["uuid"]),
    ({"userData.trackingEnabled": 2}, "userData.trackingEnabled", [" one of 0 or 1"]),
    ({"userData.trackingEnabled": 1.0}, "userData.trackingEnabled", [WHOLE]),
    ({"purchaseData": 9}, "purchaseData", [OBJECT]),
    ({"purchaseData.currency": "USD\n"}, "purchaseData.currency", ["{3}$"]),
    ({"amount": 1}, "", ["('amount' was unexpected)"]),
]


@pytest.mark.parametrize("changes", ACCEPTED, ids=str)
def test_an_event_within_the_rules_breaks_none(changes: dict[str, Any]) -> None:
    assert list(broken_rules([event(changes)], NOW)) == []


@pytest.mark.parametrize(
    ("changes", "field", "rules"), REFUSED, ids=[str(changes) for changes, *_ in REFUSED]
)
def test_a_broken_rule_names_event_field_and_rule(
    changes: Any, field: str, rules: list[str]
) -> None:
    where = f"events[1].{field}".removesuffix(".")
    for found, rule in zip(broken_rules([event(), event(changes)], NOW), rules, strict=True):
        assert found.startswith(f"{where}: ")
        assert rule in found


def test_answers_204_or_400(sandbox: Sandbox, post: Post) -> None:
    """A valid batch gets an empty 204; one invalid event fails a batch, and the answer names it."""
    assert sandbox.stats.largest_batch == 0
    answer = post(events(100))
    assert (answer.status_code, answer.content) == (204, b"")
    assert sandbox.events == events(100)
    batch: list[Any] = events(4)
    batch[1]["eventTime"], batch[3]["source"] = int(NOW) - 8 * DAY, "shop"
    batch[0]["purchaseData"], batch[2] = [], 5
    answer = post(batch)
    assert (answer.status_code, sandbox.stats.accepted) == (400, 100)
    expected = [
        'events[0].purchaseData: value is not of type "object" (eventId e-0)',
        'events[2]: value is not of type "object"',
        'events[3].source: value is not one of "web", "app" or "offline", got "shop" (eventId e-3)',
        "events[1].eventTime: older than 7 days, got 1799308800 (eventId e-1)",
    ]
    assert answer.json()["errors"] == [
        {"httpStatus": 400, "message": message, "errorCode": "400"} for message in expected
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        *((body, "body: invalid JSON") for body in (b"", b"[", b"[1,]", b"[Infinity]", b"[1e999]")),
        *((body, "body: invalid JSON") for body in (b'[{"a": NaN}]', b'["\xff"]', b'["\\ud800"]')),
        *((b"[" * depth + b"]" * depth, "body: invalid JSON") for depth in (400, 100_000)),
        *((body, 'body: value is not of type "array"') for body in (b"{}", b'"text"', b"1")),
        (b"[null]", 'events[0]: value is not of type "object"'),
        (b"[]", "body: value has less than 1 item"),
        (json.dumps(events(101)).encode(), "body: value has more than 100 items"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_body_must_be_an_array_of_1_to_100_events(
    sandbox: Sandbox, post: Post, body: bytes, message: str
) -> None:
    answer = post(body)
    assert answer.status_code == 400
    assert messages(answer)[0].startswith(message)
    assert (sandbox.stats.accepted, sandbox.stats.requests) == (0, 1)


def test_an_error_body_has_at_most_ten_short_entries(post: Post) -> None:
    found = messages(post(events(12, source="v" * 1000)))
    assert [entry.partition(".")[0] for entry in found] == [f"events[{n}]" for n in range(10)]
    assert max(map(len, found)) == len(f"{'v' * 150}…")


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        *(
            pytest.param({"token": token}, 401, id=token_is)
            for token_is, token in (
                ("no token", None),
                ("another token", "Bearer wrong"),
                ("no scheme before the token", "sandbox-token"),
            )
        ),
        pytest.param({"path": "/conversions/b-1b2c"}, 403, id="another customer"),
        # An older page of the guide shows this path.
        pytest.param({"path": "/a-1b2c/events"}, 204, id="an older path"),
        # curl declares JSON as a form.
        pytest.param({"headers": {"Content-Type": "text/plain"}}, 204, id="another content type"),
    ],
)
def test_only_one_customer_with_its_token_is_accepted(
    post: Post, wrong: dict[str, Any], status: int
) -> None:
    answer = post([event()], **wrong)
    assert answer.status_code == status
    assert status == 204 or answer.json()["errors"][0]["httpStatus"] == status
