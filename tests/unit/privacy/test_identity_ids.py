"""Event IDs: pseudonyms in place of addresses, and IDs derived from a record's values."""

from __future__ import annotations

from typing import Any

import pytest

from target_liveintent.privacy.identity import MAX_NESTING, derive_event_id, pseudonym


def test_pseudonym_is_stable() -> None:
    """An event ID that is an address always becomes the same UUIDv5."""
    assert pseudonym("ann@example.com") == "4c7aab8b-f19c-5457-80db-57d99e6ad08f"


def test_pseudonym_takes_any_text() -> None:
    """Lone surrogates do not end the run."""
    assert len(pseudonym("\ud800@example.com")) == 36


def test_derived_ids_differ_by_values_and_streams() -> None:
    """Different values, orders, nestings and streams have different IDs."""
    ids = {
        derive_event_id("orders", ["1", "2"]),
        derive_event_id("orders", ["12"]),
        derive_event_id("orders", ["1,2"]),
        derive_event_id("orders", ["2", "1"]),
        derive_event_id("orders2", ["1", "2"]),
        derive_event_id("orders", [["1", "2"]]),
    }
    assert len(ids) == 6


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

    assert derived(1, MAX_NESTING) != derived(2, MAX_NESTING)
    assert derived(1, MAX_NESTING + 1) == derived(2, MAX_NESTING + 1)
    assert derived(1, 400) == derived(2, 400)
