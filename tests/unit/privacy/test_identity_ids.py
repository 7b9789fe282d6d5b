"""Event IDs: pseudonyms in place of addresses, and IDs derived from a record's values."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target_liveintent.privacy.identity import NAMESPACE, derive_event_id, pseudonym


def test_pseudonym() -> None:
    """An event ID that is an address always becomes the same UUIDv5; any text becomes one."""
    assert pseudonym("ann@example.com") == "4c7aab8b-f19c-5457-80db-57d99e6ad08f"
    assert len(pseudonym("\ud800@example.com")) == 36


@given(st.text(), st.lists(st.one_of(st.text(), st.integers(), st.none()), max_size=3))
def test_ids_are_those_of_pythons_module(text: str, values: list[Any]) -> None:
    """They do not change as long as the name does not, which is JSON for derived IDs."""
    assert pseudonym(text) == str(uuid.uuid5(NAMESPACE, text.encode(errors="replace").decode()))
    name = json.dumps([text, *values], separators=(",", ":"))
    assert derive_event_id(text, values) == str(uuid.uuid5(NAMESPACE, name))


def test_derived_ids_differ_by_values_and_streams() -> None:
    """Different values, orders, nestings and streams have different IDs."""
    values = [["1", "2"], ["12"], ["1,2"], ["2", "1"], [["1", "2"]]]
    ids = {derive_event_id("orders", one) for one in values}
    assert len(ids | {derive_event_id("orders2", ["1", "2"])}) == 6


def test_derived_ids_do_not_depend_on_the_order_of_members() -> None:
    """JSON objects have no order."""
    assert derive_event_id("s", [{"a": 1, "b": {"c": 2, "d": 3}}]) == derive_event_id(
        "s", [{"b": {"d": 3, "c": 2}, "a": 1}]
    )


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_derived_ids_read_values_to_the_limit_of_nesting(wrap: Any) -> None:
    """A difference at the deepest level counts; what lies deeper is left out."""

    def derived(value: Any, depth: int) -> str:
        for _ in range(depth):
            value = wrap(value)
        return derive_event_id("s", [value])

    assert derived(1, 50) != derived(2, 50)
    assert derived(1, 51) == derived(2, 51)
    assert derived(1, 400) == derived(2, 400)
