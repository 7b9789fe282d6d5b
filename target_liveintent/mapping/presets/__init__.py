"""The presets, which are stream maps for known taps.

Each preset is a YAML file in this folder, in the form of a user's configuration. The command
`target-liveintent preset` prints the file.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

NULL_VALUES: tuple[Any, ...] = (None, "__NULL__")
"""The values that drop a column or a stream. As the `__else__` of a map, they drop all columns that
the map does not set."""


class Preset(NamedTuple):
    """A preset, which is a map for one stream of a known tap.

    Attributes:
        source: The stream for which the preset is made, in words.
        signature: Columns that together occur only in this stream.
    """

    source: str
    signature: frozenset[str]


PRESETS = {
    "shopify": Preset(
        "Stream `orders` of tap-shopify 3.13 (GraphQL, camelCase)",
        frozenset({"processedAt", "displayFinancialStatus", "originalTotalPriceSet"}),
    ),
    "shopify_rest": Preset(
        "Stream `orders` of taps for Shopify's REST API (snake_case)",
        frozenset({"processed_at", "financial_status", "total_price", "source_name"}),
    ),
    "salesforce_opportunity": Preset(
        "Stream `Opportunity` of tap-salesforce 2.8: won opportunities",
        frozenset({"IsWon", "CloseDate", "LastModifiedDate"}),
    ),
    "salesforce_lead": Preset(
        "Stream `Lead` of tap-salesforce 2.8: new leads that did not opt out",
        frozenset({"Email", "LeadSource", "CreatedDate", "HasOptedOutOfEmail"}),
    ),
    "stripe_charges": Preset(
        "Stream `charges` of tap-stripe 3.3",
        frozenset({"amount_captured", "receipt_email", "livemode", "payment_method_details"}),
    ),
    "postgres_orders": Preset(
        "A template for your own table of orders, such as `public-orders` of tap-postgres",
        frozenset({"status", "created_at", "customer_email", "channel", "total", "currency"}),
    ),
}
"""The presets by name. The file of a preset has the same name, with the ending `.yaml`."""


def preset_text(name: str) -> str:
    """Return the text of a preset's file: YAML with comments."""
    return pathlib.Path(__file__).with_name(f"{name}.yaml").read_text(encoding="utf-8")


@functools.cache
def preset_columns(name: str) -> Mapping[str, Any]:
    """Return the map in a preset: the expressions by column, and the options by name."""
    from target_liveintent.yaml12 import load_yaml  # noqa: PLC0415 (see yaml12.py)

    columns: Mapping[str, Any]
    ((_, columns),) = load_yaml(preset_text(name))["stream_maps"].items()
    return columns


def likely_preset(columns: Iterable[str]) -> str | None:
    """Return the name of the preset for a stream with these columns; None without such a preset."""
    present = frozenset(columns)
    return next((name for name, preset in PRESETS.items() if preset.signature <= present), None)
