"""LiveIntent as a Spark data source: sends conversions from a DataFrame, batch or streaming.

    spark.dataSource.register(LiveIntentDataSource)
    df.write.format("liveintent").options(**options).mode("append").save()

docs/spark.md describes the options and the guarantees. Events, delivery and dead letters are the
same as in the target. `explain` says how rows would become events. Nothing here needs Singer, and
only `source` needs PySpark.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from target_liveintent.spark.explaining import explain
    from target_liveintent.spark.source import LiveIntentDataSource

__all__ = ["LiveIntentDataSource", "explain"]
_MODULES = {"LiveIntentDataSource": "source", "explain": "explaining"}


def __getattr__(name: str) -> object:
    """Import on first use what needs PySpark and its libraries."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
