"""A million rows through Spark, and the same rows through Meltano and through Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from spark_support import NOW, Spark, letters, options, query

pytest.importorskip("benchmarks", reason="they are not in the source distribution")

import msgspec

from benchmarks.processes import Api
from benchmarks.tally import Tally
from target_liveintent.privacy.identity import NORMALIZATIONS, identify

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.spark

MILLION = 1_000_000


def expected(rows: int) -> Tally:
    """What must arrive, by plain Python."""
    tally = Tally()
    events = []
    for n in range(rows):
        who = identify([f"buyer{n}@example.com"], NORMALIZATIONS["gmail"])
        user = {"md5": who.md5, "sha2": who.sha2}
        purchase = {"value": n % 100 + 0.25}
        event = {"eventId": str(n), "eventTime": NOW - 3600 + n % 1000}
        events.append({**event, "userData": user, "purchaseData": purchase})
        if len(events) == 1_000:
            tally.add(msgspec.json.encode(events))
            events.clear()
    return tally


def test_a_million_rows_of_parquet(spark: Spark, tmp_path: Path, folder: Path) -> None:
    """Each of 1,000,000 rows arrives once and right, by a sum over all of them."""
    source = str(tmp_path / "orders.parquet")
    spark.do("save", sql=query(MILLION, 8, more=", string(id) AS event_id"), path=source)
    with Api() as api:
        spark.do(
            "write",
            sql=f"SELECT * FROM parquet.`{source}`",  # noqa: S608
            options=options(api.url, folder),
        )
        tally = api.take()
    assert (tally.events, tally.largest) == (MILLION, 100)
    assert tally.digest == expected(MILLION).digest
    assert letters(folder) == []
