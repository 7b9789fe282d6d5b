"""Wrong amounts and currencies: a run warns, with counts, and shows what conversions are worth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

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


def test_wrong_amounts(target: Launcher, sandbox: Sandbox) -> None:
    """Each mistake is a WARNING with its count; each currency has figures in log and report."""
    messages = [order(n, **changes) for n, changes in enumerate(WRONG)]
    run = target.run(schema(), *messages, state(1), report_path="run.html")
    assert (run.code, run.summary["total"].delivered) == (0, len(WRONG))
    assert run.warnings == WARNINGS
    said = run.texts
    place = next(n for n, text in enumerate(said) if text.startswith("orders: read 7,"))
    assert said[place + 1 : place + 4] == LINES
    assert said[place + 4].startswith("total: ")
    sent = [event["purchaseData"].get("value") for event in sandbox.events]
    assert sorted(value for value in sent if value is not None) == [-5, 3, 10, 20, 30]
    report = json.loads(target.ask("report", "--format=json").stdout)
    assert report["last_run"]["streams"]["orders"]["values"]["EUR"] == {
        "conversions": 2,
        "total": "25",
        "lowest": "-5",
        "highest": "30",
        "negative": 1,
    }
    assert "<b>25.00</b> <span>EUR</span>" in (target.folder / "run.html").read_text()
