"""A Spark application that does what it is told: a JSON line in, a JSON line out.

Runs in .venv-spark. Its arguments are the Spark master and the configuration, as JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

from pyspark.sql import SparkSession

from target_liveintent.spark import LiveIntentDataSource, explain_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.streaming import DataStreamWriter


def write(
    spark: SparkSession, sql: str, options: dict[str, Any], mode: str | None = "append"
) -> None:
    """Send what a query gives; without a mode, Spark has one of its own."""
    writer = spark.sql(sql).write.format("liveintent").options(**options)
    (writer.mode(mode) if mode else writer).save()


def sql(spark: SparkSession, statements: list[str]) -> None:
    """Do what statements of SQL say."""
    for statement in statements:
        spark.sql(statement)


def write_to(spark: SparkSession, sql: str, table: str, options: dict[str, Any]) -> None:
    """Send what a query gives to a table."""
    writer = spark.sql(sql).writeTo(table)
    for name, value in options.items():
        writer = writer.option(name, value)
    writer.append()


def explain(spark: SparkSession, sql: str, options: dict[str, Any]) -> str:
    """What a write of a query would do."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        explain_rows(spark.sql(sql), options)
    return said.getvalue()


def save(spark: SparkSession, sql: str, path: str) -> None:
    """Keep what a query gives, as Parquet."""
    spark.sql(sql).write.mode("append").parquet(path)


def plan(spark: SparkSession, sql: str, options: dict[str, Any]) -> str:
    """What Spark says of writes so far, in its pages and its API, and of one as it is planned."""
    write(spark, sql, options)
    web = spark.sparkContext.uiWebUrl
    application = f"api/v1/applications/{spark.sparkContext.applicationId}"
    pages = ["environment/", "SQL/", "jobs/", "stages/", f"{application}/environment"]
    pages += [f"{application}/sql?details=true&planDescription=true", f"{application}/stages"]
    pages += [f"SQL/execution/?id={number}" for number in range(3)]
    texts = [urllib.request.urlopen(f"{web}/{page}").read().decode() for page in pages]  # noqa: S310
    return "\n".join(texts)


def stream(
    spark: SparkSession, folder: str, columns: list[str], options: dict[str, Any], checkpoint: str
) -> int:
    """Send what is in a folder, a file a micro-batch; returns how many there were."""
    rows = _files(spark, folder).selectExpr(*columns).repartition(2)
    return _follow(rows.writeStream.format("liveintent").options(**options), checkpoint)


def stream_in_parts(
    spark: SparkSession,
    folder: str,
    columns: list[str],
    writes: list[dict[str, Any]],
    checkpoint: str,
) -> int:
    """Send what is in a folder by batch writes in `foreachBatch`, one for each of some options."""

    def send(rows: Any, _: int) -> None:
        for options in writes:
            part = rows.selectExpr(*columns).repartition(2)
            part.write.format("liveintent").options(**options).mode("append").save()

    return _follow(_files(spark, folder).writeStream.foreachBatch(send), checkpoint)


def _files(spark: SparkSession, folder: str) -> DataFrame:
    schema = spark.read.parquet(folder).schema
    return spark.readStream.schema(schema).option("maxFilesPerTrigger", 1).parquet(folder)


def _follow(writer: DataStreamWriter, checkpoint: str) -> int:
    writer = writer.option("checkpointLocation", checkpoint).trigger(availableNow=True)
    query = writer.start()
    query.awaitTermination()
    return len(query.recentProgress)


def ask(spark: SparkSession, sql: str) -> list[list[Any]]:
    """Answer a query."""
    return [[str(value) for value in row] for row in spark.sql(sql).collect()]


def main() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What Spark prints is no answer.
    master, conf = sys.argv[1], json.loads(sys.argv[2])
    spark = SparkSession.builder.master(master).config(map=conf).getOrCreate()
    spark.dataSource.register(LiveIntentDataSource)
    print(json.dumps({"value": spark.version}), file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {"value": globals()[command.pop("do")](spark, **command)}
        except Exception as error:  # noqa: BLE001 (whatever Spark raises)
            answer = {"error": str(error)}
        print(json.dumps(answer), file=answers, flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
