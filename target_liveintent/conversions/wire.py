"""An event as the API accepts it: structs that follow from `FIELDS`, and their JSON.

The members of the structs have the names of our columns; in the JSON they have the API's names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from target_liveintent.conversions.fields import FIELDS, Field
from target_liveintent.conversions.model import Conversion

SentEvent: TypeAlias = Any
"""An event that was read back: a `ConversionEvent`, a class that mypy cannot know."""


def _struct(name: str, path: tuple[str, ...], *objects: Field) -> Any:
    """Make the struct of the fields right below a path, those that the API requires first."""
    fields = [field for field in FIELDS if field.path and field.path[:-1] == path]
    fields = sorted([*fields, *objects], key=lambda field: not field.required)
    return msgspec.defstruct(
        name,
        [(field.name, field.wire_type, *([] if field.required else [None])) for field in fields],
        rename={field.name: field.path[-1] for field in fields},
        frozen=True,
        gc=False,
        omit_defaults=True,
    )


UserData = _struct("UserData", ("userData",))
PurchaseData = _struct("PurchaseData", ("purchaseData",))
ConversionEvent = _struct(
    "ConversionEvent",
    (),
    Field("user_data", "userData", None, "The person.", UserData),
    Field("purchase_data", "purchaseData", None, "The order.", PurchaseData),
)

OPTIONAL_FIELDS = sorted(
    (field for field in FIELDS if field.coerce), key=lambda field: len(field.path), reverse=True
)
"""The fields that are left out where they cannot be read, in the order of the JSON."""
USER_FIELDS = sum(field.path[0] == "userData" for field in OPTIONAL_FIELDS)
"""How many of them, from the first, belong to `UserData`; the last is the decision ID."""
CURRENCY, VALUE = (
    [field.name for field in OPTIONAL_FIELDS].index(n) for n in ("currency", "value")
)
"""Where they are among them."""

# A Decimal is written as a JSON number with the digits that it came with.
encode: Callable[[Any], bytes] = msgspec.json.Encoder(decimal_format="number").encode
_decode: Callable[[bytes], SentEvent] = msgspec.json.Decoder(ConversionEvent).decode


def read_back(conversions: Iterable[Conversion]) -> list[SentEvent]:
    """Decode the events of conversions as they were sent, the amounts to their last digit."""
    return [_decode(conversion.body) for conversion in conversions]
