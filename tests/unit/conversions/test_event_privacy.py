"""Whatever a record holds, no event, rejection or dead letter shows an address."""

from __future__ import annotations

import json
from typing import Any

import pytest
from unit_support import DEFAULTS, SETTINGS, TIME, build, order, rejection

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.delivery.model import Undelivered
from target_liveintent.storage.dead_letters import dead_letter_line

JANE = "jane.roe+x@example.com"
COLUMNS = (
    "event_id", "event_time", "pixel_id", "source", "decision_id", "email", "md5", "sha2", "ip",
    "user_agent", "idfa", "aaid", "tracking_enabled", "currency", "value", "order_id",
    "source_url", "app_bundle", "consent",
)  # fmt: skip
FORMS: dict[str, Any] = {
    "plain": JANE,
    "within": f"2026-08-01 web 12.50 {JANE.upper()} true",
    "encoded": "https://shop.example/thanks?who=jane.roe%2Bx%40example.com",
    "json": r"jane.roe+x\u0040example.com",
    "html": "Jane &lt;jane.roe+x&#64;example.com&gt;",
    "wide": "jane.roe+x\uff20example.com",
    "host": "jane.roe@localhost",
    "network": "jane.roe@[10.1.2.3]",
    "list": [JANE, {"to": JANE}],
    "object": {JANE: [JANE]},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("column", COLUMNS)
def test_repr_holds_no_address(column: str, form: str) -> None:
    """Whatever column holds an address, no repr does, and so no traceback and no log."""
    for changes in ({}, {"event_time": None}, {"source": "shop"}, {"event_time": TIME - 10**7}):
        result = build(order(**{"email": "x@example.com", **changes, column: FORMS[form]}))
        assert "roe" not in repr(result).lower(), (column, changes)
        if isinstance(result, Rejection):
            assert b"roe" not in dead_letter_line(result, SETTINGS, "run-1").lower()


def test_both_kinds_are_tested() -> None:
    """An optional column with an address leaves an event, a required one does not."""
    assert isinstance(build(order(order_id=JANE)), Conversion)
    assert isinstance(build(order(event_time=JANE)), Rejection)


@pytest.mark.parametrize("form", FORMS)
def test_repr_of_keys_holds_no_address(form: str) -> None:
    """The key properties that a letter is found by hold no address either."""
    builder = EventBuilder("orders", COLUMNS, ("who", "n"), DEFAULTS)
    unmapped = builder.reject_unmapped("value", {"who": FORMS[form], "n": 1}, "ValueError")
    assert unmapped.keys is not None
    assert unmapped.keys["n"] == 1
    assert "roe" not in repr(unmapped).lower()
    without = rejection(order(event_id=None), raw={"n": FORMS[form]}, keys=("who", "n"))
    assert without.reason == "missing_key"
    assert "roe" not in repr(without).lower()


def test_columns_that_were_left_out_are_named_once() -> None:
    """What was left out for its address is named for a replay, once a column."""
    result = build(order(order_id=JANE, user_agent=f"curl {JANE}"))
    assert isinstance(result, Conversion)
    assert sorted(result.columns["scrubbed"]) == ["order_id", "user_agent"]
    record = json.loads(
        dead_letter_line(Undelivered(result, "refused_by_api").rejection, SETTINGS, "run-1")
    )["record"]
    assert sorted(record["scrubbed"]) == ["order_id", "user_agent"]
