"""Records for expressions, and the SDK's own evaluator to compare with."""

from __future__ import annotations

import copy
import re
import types
from decimal import Decimal
from typing import Any

from singer_sdk.mapper import CustomStreamMap

from target_liveintent.mapping.functions import FUNCTIONS, getter

COLUMNS = (
    *("id", "total", "email", "customer", "tags", "is_test", "self", "int", "a b", "config"),
    *("get", "lower", "items"),
)
SCHEMA = {"type": "object", "properties": {name: {} for name in COLUMNS}}
RECORDS: list[dict[str, Any]] = [
    {
        "id": 7,
        "total": Decimal("12.50"),
        "email": " Ann@Example.com ",
        "customer": {"email": "bo@example.com", "orders": [1, 2, 3], "name": None},
        "tags": ["vip", "sale"],
        "is_test": False,
        "a b": "spaced",
    },
    {
        "id": "x" * 20,
        "total": "87.28",
        "email": None,
        "customer": None,
        "tags": [],
        "is_test": True,
    },
    {"id": 0, "total": 3, "email": "", "customer": {}, "tags": None, "is_test": None},
    {"self": "mine", "int": "no function", "config": "a column", "total": 1.5, "id": -1},
    {
        "get": "got",
        "lower": {"b": "Low"},
        "items": [{"sku": "A-1", "prices": [1, 2]}, None, {"sku": ""}],
        "id": 1250,
        "email": "  Kwd",
        "total": Decimal("1250.0"),
    },
    {},
]


class _Theirs(CustomStreamMap):
    """The SDK's own map, which is given the helper functions and nothing else of ours."""

    def _init_faker_instance(self) -> None:
        """Without Faker, as in the package."""

    @property
    def functions(self) -> dict[str, Any]:
        return {**super().functions, **{name: call for name, _, _, call in FUNCTIONS}}

    def _eval(self, expr: Any, expr_parsed: Any, record: Any, property_name: Any) -> Any:
        self.expr_evaluator.functions["get"] = getter(record)
        return super()._eval(expr, expr_parsed, record, property_name)


def theirs(definition: dict[str, str]) -> CustomStreamMap:
    """The SDK's own map."""
    return _Theirs(
        stream_alias="gifts",
        map_config={"shop": "berlin"},
        faker_config={},
        raw_schema=copy.deepcopy(SCHEMA),
        key_properties=[],
        map_transform=definition,
        flattening_options=None,
        stream_name="orders",
    )


def outcome(transform: Any, record: dict[str, Any]) -> Any:
    """What a map makes of a record; failures are all alike."""
    try:
        made = transform(copy.deepcopy(record))
    except Exception:  # noqa: BLE001 (any failure rejects the record)
        return "failed"
    return made if made is None else {name: (type(v), shown(v)) for name, v in made.items()}


def shown(value: Any) -> str:
    """A value in words; functions of the same name are alike, wherever they are in memory."""
    if isinstance(value, types.FunctionType):
        return value.__name__
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
