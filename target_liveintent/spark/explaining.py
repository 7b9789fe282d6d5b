"""Says on the driver how the rows of a DataFrame would become events, and sends nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from target_liveintent.explain import (
    MAX_RECORDS,
    Explained,
    Explanation,
    as_lines,
    describe,
    run_problems,
)
from target_liveintent.mapping import RecordConverter, Stream, StreamPlan
from target_liveintent.privacy import Suppressions
from target_liveintent.spark.columns import columns_of
from target_liveintent.spark.options import Job, job_of, warnings_of
from target_liveintent.spark.records import records_of


def explain(frame: Any, options: Mapping[str, object]) -> None:
    """Print what a write of a DataFrame would do, by its first 10,000 rows.

    Args:
        frame: The DataFrame.
        options: The options of the write.

    Raises:
        ConfigurationError: If options are wrong.
        StreamMappingError: If the columns can never give an event.
    """
    texts = {name.lower(): _text(value) for name, value in options.items() if value is not None}
    job = job_of(texts, frame.columns)
    table = frame.limit(MAX_RECORDS).toArrow()
    explained = _explained(job, frame.columns)
    for batch in table.to_batches():
        for record in (row for rows in records_of(batch, job.columns) for row in rows):
            explained.add(*record)
    for line in (*warnings_of(texts, frame.columns), *_lines(job, explained)):
        sys.stdout.write(f"{line}\n")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _explained(job: Job, columns: list[str]) -> Explained:
    names = columns_of(columns, job.keys).names
    schema: dict[str, Any] = {"properties": {name: {} for name in names}}
    plan = StreamPlan.without_map(job.stream, job.columns.names)
    explained = Explained(Stream(job.stream, schema, job.keys), plan)
    settings = job.settings()
    suppressions = Suppressions(settings.suppression_path)
    builder = explained.builder(settings.events, suppressions)
    explained.converter = RecordConverter(plan, builder, explained.noted.left_out)
    return explained


def _lines(job: Job, explained: Explained) -> Iterator[str]:
    settings = job.settings_of_the_write()
    notes = []
    if explained.noted.read >= MAX_RECORDS:
        notes.append(f"Only the first {MAX_RECORDS:,} records were read.")
    failures = list(run_problems([explained], settings))
    return as_lines(Explanation(notes, [describe(explained, settings, {})], [], failures))
