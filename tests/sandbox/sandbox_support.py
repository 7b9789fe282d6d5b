"""Helpers of the sandbox's tests: the events that they send, and reading error bodies."""

import copy
from collections.abc import Callable
from typing import Any

import requests

NOW = 1_800_000_000.5
DAY = 86_400
TOKEN = "Bearer sandbox-token"

VALID: dict[str, Any] = {
    "eventId": "order-1001",
    "eventTime": 1_799_999_000,
    "pixelId": 12345,
    "source": "web",
    "userData": {"md5": "29a1df4646cb3417c19994a59a3e022a"},
    "purchaseData": {"currency": "USD", "value": 42.5, "orderId": "1001"},
}

Post = Callable[..., requests.Response]
Call = Callable[..., requests.Response]


def event(changes: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Return a valid event with changes by dotted path; `...` removes a field."""
    made = copy.deepcopy(VALID)
    for path, value in {**(changes or {}), **fields}.items():
        *parents, name = path.split(".")
        owner = made
        for parent in parents:
            owner = owner[parent]
        if value is ...:
            owner.pop(name, None)
        else:
            owner[name] = value
    return made


def events(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Return so many valid events: `e-0`, `e-1` and so on."""
    return [event(eventId=f"e-{n}", **fields) for n in range(count)]


def messages(answer: requests.Response) -> list[str]:
    """Return the messages of an error body."""
    return [entry["message"] for entry in answer.json()["errors"]]
