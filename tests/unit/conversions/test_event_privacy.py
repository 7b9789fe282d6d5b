"""Whatever a record holds, no event, rejection or dead letter shows an address."""

from __future__ import annotations

from typing import Any

import pytest
from unit_support import DEFAULTS, FULL, NOW, SETTINGS, TIME, build, letter, order, rejection

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.fields import FIELDS
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.store import letter_of

JANE = "jane.roe+x@example.com"
COLUMNS = [field.name for field in FIELDS]
FORMS: dict[str, Any] = {
    "plain": JANE,
    "within": f"2026-08-01 web 12.50 {JANE.upper()} true",
    "encoded": "https://shop.example/thanks?who=jane.roe%2Bx%40example.com",
    "json": r"jane.roe+x\u0040example.com",
    "html": "Jane &lt;jane.roe+x&#64;example.com&gt;",
    "wide": "jane.roe+x\uff20example.com",
    "host": "jane.roe@localhost",
    "network": "jane.roe@[10.1.2.3]",
    "surrogate": f"\ud800{JANE}",
    "list": [JANE, {"to": JANE}],
    "object": {JANE: [{"to": JANE}]},
}


def shows_nobody(record: dict[str, Any]) -> type[Any]:
    """Check the event or rejection of a record, and its dead letter; return which it is."""
    result = build(record)
    refused = result.rejected("refused_by_api", None, None) if hasattr(result, "body") else result
    assert isinstance(refused, Rejection)
    written = letter_of(refused, SETTINGS, "run-1", NOW).row(1)
    assert "roe" not in f"{result!r} {written!r} {getattr(result, 'body', b'')!r}".lower()
    return type(result)


@pytest.mark.parametrize("column", COLUMNS)
def test_no_column_shows_an_address(column: str) -> None:
    """Whatever column holds an address, no repr does, and so no traceback and no log."""
    for form in (FORMS["within"], FORMS["object"]):
        shows_nobody({**FULL, "email": "x@example.com", column: form})
        shows_nobody(order(**{"event_time": TIME - 10**7, column: form}))


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_an_address_shows(form: str) -> None:
    """An optional column with an address leaves an event, a required one does not."""
    assert shows_nobody(order(order_id=FORMS[form])) is Conversion
    assert shows_nobody(order(event_time=FORMS[form])) is Rejection


@pytest.mark.parametrize("form", FORMS)
def test_repr_of_keys_holds_no_address(form: str) -> None:
    """The key properties that a letter is found by hold no address either."""
    builder = EventBuilder("orders", COLUMNS, ("who", "n"), DEFAULTS)
    unmapped = builder.reject_unmapped("value", {"who": FORMS[form], "n": 1}, "ValueError")
    assert unmapped.keys is not None
    assert unmapped.keys["n"] == 1
    without = rejection(order(event_id=None), raw={"n": FORMS[form]}, keys=("who", "n"))
    assert without.reason == "missing_key"
    assert "roe" not in f"{unmapped!r} {without!r}".lower()


def test_columns_that_were_left_out_are_named_once() -> None:
    """What was left out for its address is named for a replay, once a column."""
    result = build(order(order_id=JANE, user_agent=f"curl {JANE}"))
    assert isinstance(result, Conversion)
    assert sorted(result.columns["scrubbed"]) == ["order_id", "user_agent"]
    record = letter(result.rejected("refused_by_api", None, None))
    assert sorted(record["scrubbed"]) == ["order_id", "user_agent"]
