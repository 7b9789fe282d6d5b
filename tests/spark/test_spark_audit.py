"""What was sent is known: the audit, while a write runs, after it, and after it has failed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from faulty_server import Reply
from integration_support import wait_until
from spark_support import MIXED, ROOT, Recorder, Spark, closing, event_ids, ids, options, query

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """Name a folder for the audit."""
    return tmp_path / "audit"


def test_the_audit_while_a_write_runs(
    anywhere: Spark, server: Recorder, folder: Path, audit: Path
) -> None:
    """It can be read, and has what was delivered, whatever `flush_interval_seconds` is."""
    server.answer = lambda _: Reply(held=len(server.requests) > 8)  # One core stays free to ask.
    given = options(
        *(server.url, folder),
        audit_path=str(audit),
        max_concurrent_requests=2,
        flush_interval_seconds=60,
    )
    sql = query(3_000, 1, email="IF(id = 7, NULL, concat('buyer', id, '@example.com'))")
    question = "SELECT count(*), count(DISTINCT event_id) FROM audit WHERE outcome = 'delivered'"
    anywhere.do("start", sql=sql, options=given)
    wait_until(lambda: len(server.requests) >= 9, "requests that wait", 120)

    def is_there() -> bool:
        return anywhere.do("ask", sql=question, audit=str(audit)) == [["800", "800"]]

    wait_until(is_there, "what was delivered, in the audit", 120)
    server.answer = lambda _: Reply()
    server.release()
    anywhere.do("finish")
    assert anywhere.do("ask", sql=question, audit=str(audit)) == [["2999", "2999"]]
    names = {one.name for one in audit.glob("[!_.]*.parquet")} - {"empty.parquet"}
    assert len(names) == 1  # The small files of the task have become one.
    rows = anywhere.do(
        "ask", sql="SELECT * FROM audit WHERE outcome <> 'delivered'", audit=str(audit)
    )
    (event_id,) = event_ids(range(7, 8))
    assert [row[:6] for row in rows] == [
        [event_id, "orders", "12345", "rejected", "no_identity", "None"]
    ]
    assert not [one for one in audit.iterdir() if b"@example" in one.read_bytes()]


def test_the_next_attempt_skips_what_was_sent(
    server: Recorder, tmp_path: Path, folder: Path, audit: Path
) -> None:
    """A task that is tried again leaves out what the audit has as delivered."""
    by_outcome = "SELECT outcome, reason, count(DISTINCT event_id) FROM audit GROUP BY ALL"
    server.answer = lambda _: Reply(403, skipped=None) if len(server.requests) == 30 else Reply()
    given = options(server.url, folder, audit_path=str(audit), max_concurrent_requests=2)
    with closing(Spark(tmp_path / "app", "local[2,4]")) as spark:
        spark.do("write", sql=query(8_000, 2), options=given)
        spark.wait_for("dropped")
        asked = spark.do("ask", sql=by_outcome, audit=str(audit))
    assert asked == [["delivered", "None", "8000"]]
    assert set(ids(server)) == set(event_ids(range(8_000)))
    assert not server.repeats


def test_the_queries_of_the_page(spark: Spark, server: Recorder, folder: Path, audit: Path) -> None:
    """Each query of docs/spark.md about the audit answers what the page says."""
    page = (ROOT / "docs" / "spark.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sql\n(.*?)```", page.partition("## What was sent")[2], re.DOTALL)
    view, *questions = [part.strip() for part in re.sub(r"--.*", "", block).split(";")][:-1]
    orders = query(100, email=MIXED, more=", concat('order-', id) AS event_id")
    spark.do(
        "write",
        sql=f"{orders} WHERE id < 80",
        options=options(*(server.url, folder), audit_path=str(audit)),
    )
    assert "s3://bucket/audit" in view
    spark.do("sql", statements=[view.replace("s3://bucket/audit", str(audit))])
    spark.do("sql", statements=[f"CREATE OR REPLACE TEMPORARY VIEW orders AS {orders}"])
    try:
        outcomes, unsent, rejected, attempts = (spark.do("ask", sql=one) for one in questions)
    finally:
        spark.do("sql", statements=["DROP VIEW orders", "DROP VIEW audit"])
    assert [row[1:] for row in outcomes] == [
        ["delivered", "None", "72"],
        ["rejected", "no_identity", "8"],
    ]
    guests = {str(n) for n in range(7, 80, 10)}
    assert {row[1] for row in unsent} == guests | {str(n) for n in range(80, 100)}
    assert {(row[0] if row[0].isdigit() else row[1], row[-1]) for row in rejected} == {
        (n, "no_identity") for n in guests
    }
    assert [row[1] for row in attempts] == ["0", "1", "2", "3"]
    assert sum(int(row[3]) for row in attempts) == 80
