"""LiveIntent as a Spark data source: sends conversions from a DataFrame, batch or streaming.

    spark.dataSource.register(LiveIntentDataSource)
    df.write.format("liveintent").options(**options).mode("append").save()

docs/spark.md describes the options and the guarantees. Events, delivery and dead letters are the
same as in the target. Nothing here needs Singer, and only `source` needs PySpark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from target_liveintent.spark.source import LiveIntentDataSource

__all__ = ["LiveIntentDataSource"]


def __getattr__(name: str) -> object:
    """Import the data source, and with it PySpark, on first use."""
    if name == "LiveIntentDataSource":
        from target_liveintent.spark.source import LiveIntentDataSource  # noqa: PLC0415

        return LiveIntentDataSource
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
