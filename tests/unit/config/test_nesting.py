"""Streams whose names have dots, as Meltano hands them over."""

from __future__ import annotations

from typing import Any

import pytest

from target_liveintent.config import joined, problems, settings_of
from target_liveintent.config.nesting import unflattened

GOOD: dict[str, Any] = {"customer_id": "a-1b2c", "auth_token": "made-up-token"}
MAP = {"event_time": "created", "email": "mail"}

NESTED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("stream_maps", {"Sales": {"EU-Orders": MAP}}, {"Sales.EU-Orders": MAP}),
    ("stream_maps", {"a": {"b": {"c": MAP, "*": {}}}}, {"a.b.c": MAP, "a.b.*": {}}),
    (
        "stream_maps",
        {"__else__": "__NULL__", "orders": MAP, "Sales": {"A": MAP, "B": "__NULL__", "C": None}},
        {
            "__else__": "__NULL__",
            "orders": MAP,
            "Sales.A": MAP,
            "Sales.B": "__NULL__",
            "Sales.C": None,
        },
    ),
    ("presets", {"Sales": {"EU-Orders": "shopify"}}, {"Sales.EU-Orders": "shopify"}),
    (
        "presets",
        {"a": {"b": {"c": "shopify"}}, "orders": "stripe_charges"},
        {"a.b.c": "shopify", "orders": "stripe_charges"},
    ),
]


@pytest.mark.parametrize(("setting", "nested", "whole"), NESTED)
def test_names_are_whole_again(setting: str, nested: Any, whole: Any) -> None:
    assert problems({**GOOD, setting: nested}) == []
    assert getattr(settings_of({**GOOD, setting: nested}), setting) == whole


@pytest.mark.parametrize(("setting", "_nested", "whole"), NESTED)
def test_whole_names_stay(setting: str, _nested: Any, whole: Any) -> None:
    """A configuration that did not come through Meltano is what it was."""
    assert joined({setting: whole}) == {setting: whole}


@pytest.mark.parametrize(
    ("setting", "given", "line"),
    [
        (
            "stream_maps",
            {"Sales": {"value": "total", "EU-Orders": MAP}},
            (
                "setting 'stream_maps.Sales.EU-Orders' is an object, but must be an expression"
                " that computes a column. If 'Sales.EU-Orders' is the name of a stream, its dots"
                " were read as separators between levels of the setting. In this case, write ? in"
                " place of each dot: 'Sales?EU-Orders'"
            ),
        ),
        (
            "stream_maps",
            {"a": {"b": {"__else__": "__NULL__", "c": MAP}}},
            (
                "setting 'stream_maps.a.b.c' is an object, but must be an expression that"
                " computes a column. If 'a.b.c' is the name of a stream, its dots were read as"
                " separators between levels of the setting. In this case, write ? in place of each"
                " dot: 'a?b?c'"
            ),
        ),
        (
            "stream_maps",
            {"Sales.EU": MAP, "Sales": {"EU": MAP}},
            (
                "setting 'stream_maps.Sales.EU' is set twice: as the single key 'Sales.EU', and"
                " as nested keys, one key for each part of 'Sales.EU'. Remove one of the two"
            ),
        ),
        (
            "presets",
            {"Sales.EU": "shopify", "Sales": {"EU": "stripe_charges"}},
            (
                "setting 'presets.Sales.EU' is set twice: as the single key 'Sales.EU', and as"
                " nested keys, one key for each part of 'Sales.EU'. Remove one of the two"
            ),
        ),
        (
            "stream_maps",
            {"Sales": {"EU": {"email": "mail ="}}},
            (
                "setting 'stream_maps.Sales.EU.email' must be a Python expression. If the"
                " expression is a fixed text, write this text in two pairs of quotes, such as"
                " \"'web'\""
            ),
        ),
    ],
)
def test_what_cannot_be_told_apart(setting: str, given: dict[str, Any], line: str) -> None:
    assert problems({**GOOD, setting: given}) == [line]


@pytest.mark.parametrize("preset", ["shopfy", 5, {}, {"C": {}}])
def test_no_preset(preset: Any) -> None:
    """The line names the stream by its whole name."""
    lines = problems({**GOOD, "presets": {"Sales": {"EU": preset}}})
    assert lines
    assert all(line.startswith("setting 'presets.Sales.EU") for line in lines)


@pytest.mark.parametrize("column", ["email", "source", "__filter__", "__alias__"])
def test_an_object_for_a_column_of_an_event(column: str) -> None:
    """It is no stream: the object is a mistake, and the line says what the column must be."""
    (line,) = problems({**GOOD, "stream_maps": {"orders": {column: {"a": "b"}}}})
    assert line.startswith(f"setting 'stream_maps.orders.{column}' must be")


@pytest.mark.parametrize(
    ("flat", "whole"),
    [
        ({"orders.email": "mail", "__else__": "__NULL__"}, {"orders": {"email": "mail"}}),
        ({"a.b.email": "x", "a.c.id": None, "__else__": "__NULL__"}, {
            "a.b": {"email": "x"}, "a.c": {"id": None},
        }),
        ({"a.b.email": "x", "a.c": "__NULL__", "__else__": "__NULL__"}, {
            "a.b": {"email": "x"}, "a.c": "__NULL__",
        }),
        ({"a.b": {"email": "x"}, "__else__": "__NULL__"}, {"a.b": {"email": "x"}}),
        ({"a.b": "__NULL__", "__else__": "__NULL__"}, {"a.b": "__NULL__"}),
    ],
)  # fmt: skip
def test_what_meltano_has_flattened(flat: dict[str, Any], whole: dict[str, Any]) -> None:
    """The environment of a Meltano command has a map's columns beside the stream's name."""
    assert joined({"stream_maps": unflattened(flat)})["stream_maps"] == {
        **whole,
        "__else__": "__NULL__",
    }


def test_a_flattened_map_that_is_wrong() -> None:
    """A name that is a stream and text at once stays as it is, so that a check names it."""
    flat = {"orders": "x", "orders.email": "mail"}
    assert unflattened(flat) == flat
