"""A generated sample of what expressions can reach, compiled and by the SDK's evaluator.

What is there to be reached is asked of the values themselves, so that no method is forgotten.
"""

from __future__ import annotations

import ast
import copy
import datetime as dt
import itertools
import json
import random
import warnings
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from expressions_support import RECORDS, outcome, theirs

from target_liveintent.mapping.expressions import Expression, compile_row

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES: dict[str, Any] = {
    "email": "",
    "total": Decimal(1),
    "id": 1,
    "float(id)": 1.0,
    "is_test": True,
    "customer": {},
    "tags": [],
    "(id, 'a')": (),
    "{1, 2}": set(),
    "b'ab'": b"",
    "1j": 1j,
    "str": str,
    "int": int,
    "float": float,
    "json": json,
    "json.JSONDecoder()": json.JSONDecoder(),
    "json.JSONEncoder()": json.JSONEncoder(),
    "datetime": dt,
    "datetime.datetime": dt.datetime,
    "datetime.date": dt.date,
    "datetime.datetime(2026, 1, 2, 3, 4, 5, 6)": dt.datetime.fromtimestamp(0, dt.timezone.utc),
    "datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)": dt.datetime.max.replace(
        tzinfo=dt.timezone.utc
    ),
    "datetime.date(2026, 1, 2)": dt.date.min,
    "datetime.time(3, 4)": dt.time.min,
    "datetime.timedelta(days=1, hours=2)": dt.timedelta.min,
    "datetime.timezone.utc": dt.timezone.utc,
    "datetime.date(2026, 1, 2).isocalendar()": dt.date.min.isocalendar(),
    "datetime.datetime(2026, 1, 2).timetuple()": dt.date.min.timetuple(),
}
"""Expressions for a value of each kind, with one of its kind: whose attributes they have."""
NOT_THE_SAME_TWICE = {"now", "today", "utcnow"}
BROKEN = {"(datetime.date).replace(datetime.datetime(2026, 1, 2))"}
"""What Python 3.11 makes of memory that is not the value's: never the same."""
ARGUMENTS = (
    *("", "id", "total", "email", "tags", "None", "'a'", "'a', 'b'", "1, 'big'", "'utf-8'", "2"),
    *("'%Y-%m-%d'", "'2026-01-02', '%Y-%m-%d'", "'2026-01-02'", "'[1, 2.5]'", "2026, 1, 2"),
    *("datetime.timezone.utc", "datetime.datetime(2026, 1, 2)", "datetime.timedelta(hours=1)"),
    *("year=2025", "sep=' '", "key=str", "customer", "86400"),
)
LITERALS = ("1000", "1.5", "'a b'", "(1, 2)", "None", "True", "7", "()", "b'x'", "-2.5", "...")
CONFIG = {"shop": "berlin"}


def reached() -> Iterator[str]:
    """Each public attribute of each value, and its call with each of the arguments."""
    for expression, value in VALUES.items():
        for name in dir(value):
            if name.startswith("_") or name in NOT_THE_SAME_TWICE:
                continue
            calls = {f"({expression}).{name}({given})" for given in ARGUMENTS}
            yield from sorted({f"({expression}).{name}", *calls} - BROKEN)


def identities() -> Iterator[str]:
    """Comparisons by `is`, of literals and columns."""
    sides = (*LITERALS, "id", "total", "email", "is_test", "nobody", "str(id)", "id + 1000")
    for left, right in itertools.product(sides, repeat=2):
        yield f"{left} is {right}"
        yield f"{left} is not {right} is None"


def composed(seed: int) -> str:
    """An expression that a seed puts together, three operations deep."""
    chosen = random.Random(seed)  # noqa: S311 (a sample, no secret)
    operators = ("+", "-", "*", "/", "//", "%", "<", "==", "in", "not in", "is", "is not")
    operators = (*operators, "and", "or", "|", "&", "<<")

    def part(depth: int) -> str:
        if depth == 0:
            return chosen.choice((*VALUES, *LITERALS, "_", "config", "self", "__stream_name__"))
        one, two, three = (part(depth - 1) for _ in range(3))
        operator, attribute = chosen.choice(operators), chosen.choice(("x", "email", "real", "a"))
        return chosen.choice(
            (
                f"({one} {operator} {two})",
                f"({one} {operator} {two} {chosen.choice(operators)} {three})",
                f"({one} if {two} else {three})",
                f"({one})[{two}]",
                f"({one})[{two}:{three}]",
                f"[{one}, {two}]",
                f"{{'x': {one}, 'email': {two}}}",
                f"({one}).{attribute}",
                f"coalesce({one}, {two})",
                f"str({one})",
                f"(not {one})",
                f"(-{one})",
                f"({one}).get({two}, {three})",
                f"get('customer.{attribute}')",
            )
        )

    return part(3)


def differences(expressions: Iterator[str], records: list[dict[str, Any]]) -> list[Any]:
    """The expressions of which the two do not make the same."""
    sdk = theirs({"id": "id"})
    functions = sdk.expr_evaluator.functions
    names = {"__stream_name__": "gifts", "__original_stream_name__": "orders"}
    found = []
    for text in expressions:
        tree = ast.parse(text).body[0]

        def evaluate(record: dict[str, Any], text: str = text, tree: Any = tree) -> Any:
            sdk.map_config = copy.deepcopy(CONFIG)
            return sdk._eval(text, tree, record, "email")  # noqa: SLF001 (what is compared with)

        values = {"config": copy.deepcopy(CONFIG), **names}
        compiled = compile_row([Expression("email", tree, evaluate)], functions, values)
        for record in records:
            wanted = outcome(lambda one, call=evaluate: {"email": call(one)}, record)
            made = outcome(compiled.run, record)
            if wanted != made:
                found.append((text, record, wanted, made))
    return found


@pytest.fixture(autouse=True)
def _with_warnings() -> Iterator[None]:
    """Deprecated methods, and `is` with a literal, are warned of; what they give is compared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_every_attribute_and_call() -> None:
    assert differences(reached(), RECORDS[:1]) == []


def test_every_identity() -> None:
    assert differences(identities(), RECORDS) == []


def test_compositions() -> None:
    assert differences(map(composed, range(2_000)), RECORDS[:4]) == []
