"""LiveIntent as a Spark data source: sends conversions from a DataFrame, batch or streaming.

docs/spark.md describes the data source. The public names are loaded on first use, because only a
program that runs in Spark has PySpark.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from target_liveintent.spark.driver import explain_rows
    from target_liveintent.spark.source import LiveIntentDataSource

__all__ = ["LiveIntentDataSource", "explain_rows"]
_MODULES = {"LiveIntentDataSource": "source", "explain_rows": "driver"}


def __getattr__(name: str) -> Any:
    """Import and return a public name; raise an `AttributeError` for any other name."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
