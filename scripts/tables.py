"""The README's tables, from the code: `scripts/lint` checks them, `scripts/readme` renews them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from target_liveintent import delivered as delivered_file
from target_liveintent.config import SCHEMA
from target_liveintent.events import COLUMNS
from target_liveintent.functions import FUNCTIONS
from target_liveintent.metrics import METRICS
from target_liveintent.presets import PRESETS
from target_liveintent.reasons import REASONS
from target_liveintent.spark.options import OWN, REFUSED

if TYPE_CHECKING:
    from collections.abc import Sequence


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def settings() -> str:
    """The settings, in the schema's order."""
    rows = []
    for name, schema in SCHEMA["properties"].items():
        default = schema.get("default")
        shown = "" if default is None else f"`{str(default).lower()}`"
        if name in SCHEMA["required"]:
            shown = "required"
        options = ", ".join(f"`{option}`" for option in schema.get("enum", []))
        description = schema.get("description", "").split(" For more information")[0]
        rows.append((f"`{name}`", shown, description + (f" One of {options}." if options else "")))
    return _table(("setting", "default", ""), rows)


def spark_options() -> str:
    """The options that only Spark has."""
    return _table(("option", ""), [(f"`{name}`", meaning) for name, meaning in OWN.items()])


def spark_refused() -> str:
    """The settings that Spark refuses."""
    return _table(
        ("setting", "instead"), [(f"`{name}`", instead) for name, instead in REFUSED.items()]
    )


def columns() -> str:
    """The columns that an event is made of."""
    rows = [
        (f"`{column.name}`", f"`{'.'.join(column.path)}`" if column.path else "", column.meaning)
        for column in COLUMNS
    ]
    return _table(("column", "also as", ""), rows)


def presets() -> str:
    """The ready stream maps."""
    rows = [(f"`{name}`", preset.source) for name, preset in PRESETS.items()]
    return _table(("preset", "for"), rows)


def functions() -> str:
    """The helper functions of expressions."""
    rows = [(f"`{function.signature}`", function.meaning) for function in FUNCTIONS]
    return _table(("function", ""), rows)


def delivered() -> str:
    """The columns of the file of delivered events."""
    rows = [(f"`{column.name}`", column.meaning) for column in delivered_file.COLUMNS]
    return _table(("column", ""), rows)


def metrics() -> str:
    """The file of metrics."""
    return _table(("metric", ""), [(f"`{metric.name}`", metric.meaning) for metric in METRICS])


def reasons() -> str:
    """Why a record was not delivered."""
    rows = [
        (
            f"`{code}`",
            reason.meaning,
            "yes" if reason.counts else "no",
            "yes" if reason.replayed else "no",
        )
        for code, reason in REASONS.items()
    ]
    return _table(("reason", "what happened, and what to do", "counts¹", "replayed²"), rows)
