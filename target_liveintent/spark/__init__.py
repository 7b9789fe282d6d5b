"""LiveIntent as a Spark data source: sends conversions from a DataFrame, batch or streaming.

docs/spark.md describes the options and the guarantees. Events and their delivery are the same as in
the target. `explain` says how rows would become events. Only `source` needs PySpark.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from target_liveintent.spark.driver import explain
    from target_liveintent.spark.source import LiveIntentDataSource

__all__ = ["LiveIntentDataSource", "explain"]
_MODULES = {"LiveIntentDataSource": "source", "explain": "driver"}


def __getattr__(name: str) -> object:
    """Import on first use what needs PySpark or pyarrow."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
