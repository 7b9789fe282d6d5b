"""Streams whose names have dots, as Meltano hands them over."""

from __future__ import annotations

from typing import Any

import pytest

from target_liveintent.config import joined, problems, settings_of
from target_liveintent.config.nesting import unflattened

GOOD: dict[str, Any] = {"customer_id": "a-1b2c", "auth_token": "made-up-token"}
MAP = {"event_time": "created", "email": "mail"}
OTHERS = {"__else__": "__NULL__"}


@pytest.mark.parametrize(
    ("setting", "nested", "whole"),
    [
        ("stream_maps", {"Sales": {"EU-Orders": MAP}}, {"Sales.EU-Orders": MAP}),
        ("stream_maps", {"a": {"b": {"c": MAP, "*": {}}}}, {"a.b.c": MAP, "a.b.*": {}}),
        (
            "stream_maps",
            {**OTHERS, "o": MAP, "S": {"A": MAP, "B": "__NULL__", "C": None}},
            {**OTHERS, "o": MAP, "S.A": MAP, "S.B": "__NULL__", "S.C": None},
        ),
        ("presets", {"a": {"b": {"c": "shopify"}}}, {"a.b.c": "shopify"}),
        ("presets", {"S": {"B": "shopify"}, "o": "shopify"}, {"S.B": "shopify", "o": "shopify"}),
    ],
)
def test_names_are_whole_again(setting: str, nested: Any, whole: Any) -> None:
    """A configuration that did not come through Meltano is what it was."""
    assert problems({**GOOD, setting: nested}) == []
    assert getattr(settings_of({**GOOD, setting: nested}), setting) == whole
    assert joined({setting: whole}) == {setting: whole}


AN_OBJECT = (
    "is an object, but must be an expression that computes a column. If '{}' is the name of a"
    " stream, its dots were read as separators between levels of the setting. In this case, write ?"
    " in place of each dot: '{}'"
)
TWICE = (
    "is set twice: as the single key 'Sales.EU', and as nested keys, one key for each part of"
    " 'Sales.EU'. Remove one of the two"
)


@pytest.mark.parametrize(
    ("setting", "given", "where", "said"),
    [
        ("stream_maps", {"Sales": {"value": "a", "EU-Orders": MAP}}, "Sales.EU-Orders", AN_OBJECT),
        ("stream_maps", {"a": {"b": {**OTHERS, "c": MAP}}}, "a.b.c", AN_OBJECT),
        ("stream_maps", {"Sales.EU": MAP, "Sales": {"EU": MAP}}, "Sales.EU", TWICE),
        ("presets", {"Sales.EU": "shopify", "Sales": {"EU": "shopify"}}, "Sales.EU", TWICE),
    ],
)
def test_what_cannot_be_told_apart(
    setting: str, given: dict[str, Any], where: str, said: str
) -> None:
    (line,) = problems({**GOOD, setting: given})
    assert line == f"setting '{setting}.{where}' {said.format(where, where.replace('.', '?'))}"


@pytest.mark.parametrize(
    ("flat", "whole"),
    [
        ({"orders.email": "mail"}, {"orders": {"email": "mail"}}),
        ({"a.b.email": "x", "a.c.id": None}, {"a.b": {"email": "x"}, "a.c": {"id": None}}),
        ({"a.b.email": "x", "a.c": "__NULL__"}, {"a.b": {"email": "x"}, "a.c": "__NULL__"}),
        ({"a.b": {"email": "x"}}, {"a.b": {"email": "x"}}),
        ({"a.b": "__NULL__"}, {"a.b": "__NULL__"}),
    ],
)
def test_what_meltano_has_flattened(flat: dict[str, Any], whole: dict[str, Any]) -> None:
    """The environment of a Meltano command has a map's columns beside the stream's name."""
    nested = unflattened({**flat, **OTHERS})
    assert joined({"stream_maps": nested}) == {"stream_maps": {**whole, **OTHERS}}


def test_a_flattened_map_that_is_wrong() -> None:
    """A name that is a stream and text at once stays as it is, so that a check names it."""
    flat = {"orders": "x", "orders.email": "mail"}
    assert unflattened(flat) == flat
