"""The JSON schema that is generated from `Settings`.

`test_hub_definition.py` compares it with the definition in `hub/`, which has the name, type,
default, choices and description of every setting.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from target_liveintent.config import SCHEMA
from target_liveintent.settings import Settings


def test_every_setting_is_a_field_of_settings() -> None:
    """Exactly these, in this order; only the customer ID is required by the schema."""
    assert list(SCHEMA["properties"]) == [field.name for field in dataclasses.fields(Settings)]
    assert SCHEMA["required"] == ["customer_id"]  # And one of two ways to give the token.


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("customer_id", {"type": ["string"], "pattern": "^[a-b]-[0-9a-z]{4}$"}),
        (
            "auth_token",
            {"type": ["string", "null"], "minLength": 1, "secret": True, "writeOnly": True},
        ),
        ("pixel_id", {"type": ["integer", "null"], "minimum": 1, "maximum": 2**63 - 1}),
        ("default_source", {"type": ["string", "null"], "enum": ["web", "app", "offline"]}),
        (
            "email_normalization",
            {
                "type": ["string", "null"],
                "enum": ["gmail", "all_domains", "lowercase"],
                "default": "gmail",
            },
        ),
        (
            "batch_size_rows",
            {"type": ["integer", "null"], "minimum": 1, "maximum": 100, "default": 100},
        ),
        ("dry_run", {"type": ["boolean", "null"], "default": False}),
        ("stream_maps", {"type": ["object", "null"], "additionalProperties": True}),
    ],
)
def test_rules(name: str, rules: dict[str, Any]) -> None:
    """The type, the rules in their order, the default and the description come from the field."""
    schema = dict(SCHEMA["properties"][name])
    description = schema.popitem()
    assert description[0] == "description"
    assert description[1].endswith(".") or "://" in description[1]
    assert list(schema.items()) == list(rules.items())


def test_only_the_empty_text_is_too_short() -> None:
    """A path of one character is a path."""
    rules = SCHEMA["properties"].values()
    assert {rule["minLength"] for rule in rules if "minLength" in rule} == {1}


def test_presets_may_have_the_names_of_presets() -> None:
    allowed = SCHEMA["properties"]["presets"]["additionalProperties"]
    assert allowed["type"] == "string"
    assert {"shopify", "stripe_charges"} <= set(allowed["enum"])


def test_what_is_secret() -> None:
    """The schema marks what must not be shown."""
    marked = {name for name, schema in SCHEMA["properties"].items() if schema.get("secret")}
    assert marked == {"auth_token", "ledger_url", "ledger_password"}
