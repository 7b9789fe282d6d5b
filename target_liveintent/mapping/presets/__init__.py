"""Ready stream maps for known taps.

Each is a YAML file beside this module, as a user would write it: `--preset` prints it, `expand`
makes an entry of `stream_maps` of it. YAML is imported only where a preset is used.
"""

from __future__ import annotations

import functools
import pathlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NULL_VALUES: tuple[Any, ...] = (None, "__NULL__")
"""What stands for null in a stream map: it removes a column, a filter or a stream."""


class Preset(NamedTuple):
    """A preset.

    Attributes:
        source: What it is for, for the documentation.
        signature: Columns that, together, no other stream has.
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
        "Stream `Opportunity` of tap-salesforce 2.8: what was won",
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
"""The presets by name; each has a file of that name."""


def text(name: str) -> str:
    """A preset as YAML to read and to paste, with its comments."""
    return pathlib.Path(__file__).with_name(f"{name}.yaml").read_text(encoding="utf-8")


def expand(presets: Mapping[str, str], stream_maps: Mapping[str, Any]) -> dict[str, Any]:
    """The stream maps that two settings mean together.

    Args:
        presets: The setting `presets`: streams, by the tap's names, and the presets for them.
        stream_maps: The setting `stream_maps`. What it says of a stream goes before what the
            stream's preset says, column by column; null takes a column or the filter away.

    Returns:
        The definitions for `StreamMaps`.
    """
    expanded = dict(stream_maps)
    for stream, name in presets.items():
        own = stream_maps.get(stream, {})
        if isinstance(own, dict):  # (Null drops the stream, preset or not.)
            expanded[stream] = _merged(columns_of(name), own)
    return expanded


def _merged(columns: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**columns, **own}
    removed = {
        column for column in columns if column != "__else__" and merged[column] in NULL_VALUES
    }
    return {column: value for column, value in merged.items() if column not in removed}


@functools.cache
def columns_of(name: str) -> Mapping[str, Any]:
    """The entry of `stream_maps` that a preset stands for."""
    import yaml  # noqa: PLC0415 (its import takes longer than that of all our modules)

    columns: Mapping[str, Any]
    ((_, columns),) = yaml.safe_load(text(name))["stream_maps"].items()
    return columns


def likely_preset(columns: Iterable[str]) -> str | None:
    """The preset for a stream with these columns; None if it looks like none of their streams."""
    there = frozenset(columns)
    return next((name for name, preset in PRESETS.items() if preset.signature <= there), None)
