"""Wrong amounts and currencies: a run warns, with counts, and shows what conversions are worth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import order, schema, state

if TYPE_CHECKING:
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

WRONG: list[dict[str, Any]] = [
    *({"value": "1.234,50", "currency": "EUR"}, {"value": "12,50", "currency": "EUR"}),
    *({"value": 10, "currency": "EURO"}, {"value": 20, "currency": None}),
    *({"value": 30, "currency": "EUR"}, {"value": -5, "currency": "EUR"}),
    {"value": 3, "currency": "EUE"},
]
WARNINGS = """\
orders: currency is left out of 1 of 7 events: "x" is not a three-letter code, such as EUR. Check \
what is mapped to currency
orders: value is left out of 2 of 7 events: "99,99" is not a number with a decimal point. Check \
what is mapped to value. In the map, amount(x, decimal=',') reads texts such as 1.234,50, and \
amount(x, decimal='.') texts such as 1'234.50
orders: in 2 conversions, the value has no currency. Check what is mapped to currency
orders: the currency of 1 conversion is not in ISO 4217 (EUE). Check what is mapped to currency
""".splitlines()
LINES = """\
orders: 2 conversions in EUR, average value 12.50, lowest value -5.00, highest value 30.00, 1 of \
them below zero
orders: 2 conversions without a currency, average value 15.00, lowest value 10.00, highest value \
20.00
orders: 1 conversion in EUE, average value 3.00, lowest value 3.00, highest value 3.00
""".splitlines()


def mapped(value: str) -> dict[str, Any]:
    """Return stream maps in which an expression gives the value."""
    columns = {name: name for name in ("event_time", "email", "currency")}
    return {"orders": {**columns, "event_id": "str(id)", "value": value, "__else__": "__NULL__"}}


@pytest.mark.parametrize("dry_run", [False, True])
def test_wrong_amounts(target: Launcher, sandbox: Sandbox, dry_run: bool) -> None:
    """Each mistake is a WARNING with its count; each currency has figures in log and report."""
    messages = [order(n, **changes) for n, changes in enumerate(WRONG)]
    run = target.run(schema(), *messages, state(1), dry_run=dry_run, report_path="run.html")
    assert (run.code, run.summary["total"].delivered) == (0, len(WRONG))
    assert run.warnings == WARNINGS
    said = run.texts
    place = next(n for n, text in enumerate(said) if text.startswith("orders: read 7,"))
    assert said[place + 1 : place + 4] == LINES
    assert said[place + 4].startswith("total: ")
    sent = [event["purchaseData"].get("value") for event in sandbox.events]
    assert sorted(value for value in sent if value is not None) == (
        [] if dry_run else [-5, 3, 10, 20, 30]
    )
    if dry_run:
        assert not (target.folder / "run.html").exists()
        return
    report = json.loads(target.ask("report", "--format=json").stdout)
    assert report["last_run"]["streams"]["orders"]["values"]["EUR"] == {
        "conversions": 2,
        "total": "25",
        "lowest": "-5",
        "highest": "30",
        "negative": 1,
    }
    assert "<b>25.00</b> <span>EUR</span>" in (target.folder / "run.html").read_text()


def test_only_what_is_delivered_counts(target: Launcher, sandbox: Sandbox) -> None:
    """A record that is rejected, and an event that the API refuses, have no part in the figures."""
    sandbox.add_faults({"kind": "refuse", "where": {"purchaseData.orderId": "no"}, "times": None})
    good = {"value": 10, "currency": "EUR", "order_id": "yes"}
    run = target.run(
        schema(columns=("id", "event_time", "email", *good)),
        order(1, **good),
        order(2, **{**good, "value": 5_000, "order_id": "no"}),
        order(3, **{**good, "value": 7_000}, email=None),
        order(4, **{**good, "value": 20}),
        state(1),
    )
    assert run.code == 0
    words = "2 conversions in EUR, average value 15.00, lowest value 10.00, highest value 20.00"
    assert f"orders: {words}" in run.texts


def test_amounts_with_a_decimal_comma(target: Launcher, sandbox: Sandbox) -> None:
    """The helper reads them; what it cannot read is left out and counted, and never guessed."""
    given = ["1.234,50", "\u20ac\u00a07,-", 9.5, None, "12.50", "x"]
    messages = [order(n, value=value) for n, value in enumerate(given)]
    run = target.run(schema(), *messages, stream_maps=mapped("amount(get('value'), decimal=',')"))
    assert (run.code, sandbox.stats.accepted) == (0, len(given))
    sent = {e["eventId"]: e["purchaseData"].get("value") for e in sandbox.events}
    assert [sent[str(n)] for n in range(len(given))] == [1234.5, None, 9.5, None, None, None]
    (warning,) = run.warnings
    assert warning.startswith("orders: value is left out of 3 of 6 events: ")
    assert "is not a number with a decimal comma. Check what is mapped to value" in warning


def test_a_column_of_the_helpers_name(target: Launcher, sandbox: Sandbox) -> None:
    """A record without its column `amount` does not get the helper in its place."""
    columns = ("id", "event_time", "email", "currency", "amount")
    orders = (schema(columns=columns), order(1, amount=5), order(2))
    run = target.run(*orders, stream_maps=mapped("amount"))
    assert [letter["reason"] for letter in run.letters] == ["mapping_failed"]
    assert [event["purchaseData"]["value"] for event in sandbox.events] == [5]
    run = target.run(schema(), order(3), stream_maps=mapped("amount"))
    assert run.code == 1
    assert "'value' reads 'amount', which is not in the tap's SCHEMA" in run.last_line
