"""Environment variables that a run does not read, and that would change its settings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from target_liveintent.config import SCHEMA, unread_variables

ACCOUNT: dict[str, Any] = {"customer_id": "a-1b2c", "auth_token": "made-up-token"}
DEFAULTS = {
    name: schema["default"] for name, schema in SCHEMA["properties"].items() if "default" in schema
}
NONE: tuple[list[str], list[str]] = ([], [])


def unread(environment: dict[str, str], **config: Any) -> tuple[list[str], list[str]]:
    """Return the variables of settings, without the prefix: the guards, and the others."""
    prefixed = {f"T_{name}": text for name, text in environment.items()}
    found = unread_variables(prefixed, "T_", {**ACCOUNT, **config})
    guards, others = ([name.removeprefix("T_") for name in names] for names in found)
    return guards, others


@pytest.mark.parametrize(
    ("environment", "config"),
    [
        ({}, {}),
        ({"DRY_RUN": ""}, {}),
        ({"DRY_RUN": "false"}, {}),
        ({"DRY_RUN": "yes"}, {"dry_run": True}),
        ({"LIMIT": "5"}, {"limit": 5}),
        ({"LIMIT": "5"}, {"limit": 5.0}),
        ({"TIMEZONE": "UTC"}, {}),
        ({"TIMEZONE": "UTC"}, {"timezone": None}),
        ({"AUTH_TOKEN": "made-up-token"}, {"auth_token": "made-up-token\n"}),
        ({"PIXEL_ID": "7"}, {"pixel_id": "7"}),
        ({"STREAM_MAPS": "{}"}, {}),
        ({"STREAM_MAPS": '{"a.email": "mail"}'}, {"stream_maps": {"a": {"email": "mail"}}}),
        ({"LOGLEVEL": "DEBUG", "UNKNOWN": "1"}, {}),
        ({"ON_INVALID": "fail"}, {"on_rejection": "fail"}),
        ({"ON_REJECTION": "fail"}, {"on_invalid": "fail"}),
    ],
)
def test_equal_values_say_nothing(environment: dict[str, str], config: dict[str, Any]) -> None:
    """A default is a value as any other, and an empty variable sets nothing."""
    assert unread(environment, **config) == NONE


@pytest.mark.parametrize("changes", [{}, {"dry_run": True, "limit": 10, "on_rejection": "fail"}])
def test_meltano_says_nothing(changes: dict[str, Any]) -> None:
    """It gives each setting in both places, an old lock file also the old name of one."""
    config = {**ACCOUNT, **DEFAULTS, "on_invalid": "dead_letter", "presets": {"a": "shopify"}}
    config |= changes
    environment = {
        name.upper(): value if isinstance(value, str) else json.dumps(value)
        for name, value in config.items()
    }
    assert unread(environment, **config) == NONE


@pytest.mark.parametrize(
    ("environment", "config"),
    [
        ({"DRY_RUN": "true"}, {}),
        ({"DRY_RUN": "1"}, {"dry_run": False}),
        ({"DRY_RUN": "please"}, {}),
        ({"LIMIT": "5"}, {}),
        ({"LIMIT": "5"}, {"limit": 6}),
        ({"LIMIT": "five"}, {}),
    ],
)
def test_guards(environment: dict[str, str], config: dict[str, Any]) -> None:
    """They keep a run from sending, also if their value cannot be read."""
    assert unread(environment, **config) == (list(environment), [])


def test_other_variables() -> None:
    """What differs is named, in the order of the settings."""
    environment = {
        "LEDGER": "false",
        "PIXEL_ID": "8",
        "AUTH_TOKEN": "another",
        "DRY_RUN": "false",
        "STREAM_MAPS": '{"a": null}',
        "ON_INVALID": "fail",
    }
    expected = ["AUTH_TOKEN", "PIXEL_ID", "LEDGER", "DRY_RUN", "STREAM_MAPS", "ON_INVALID"]
    assert unread(environment, dry_run=True, pixel_id="seven") == ([], expected)
