"""Renders an `Explanation` as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from target_liveintent.explain.explained import NOT_MAPPED
from target_liveintent.explain.model import (
    Expectation,
    ExplainedStream,
    Explanation,
    Records,
)
from target_liveintent.run import counted

_MAX_UNUSED_COLUMNS = 12
_NO_PLAN = {
    "dropped": "  The map drops this stream.",
    "skipped": "  No map names this stream, so a run skips it.",
}
_json = msgspec.json.Encoder(decimal_format="number").encode


def as_lines(explanation: Explanation) -> Iterator[str]:
    """Return an explanation as lines to print; with an expectation, how the two compare."""
    yield from explanation.notes
    if explanation.expectation is None:
        for stream in explanation.streams:
            yield from _paragraph(stream)
        for absent in explanation.absent_streams:
            yield ""
            yield f"Stream {absent.stream}"
            yield (
                "  A stream map names this stream, but the input has no such"
                f" stream{absent.similar or ''}"
            )
    yield from _failures(explanation)
    if explanation.expectation is not None:
        yield from _comparison(explanation.expectation)


def _failures(explanation: Explanation) -> Iterator[str]:
    if explanation.failures:
        yield ""
    for why in explanation.failures:
        yield f"A run over this input would fail: {why}"


def _comparison(expectation: Expectation) -> Iterator[str]:
    file, became = expectation.file, expectation.words
    if expectation.written:
        yield (
            f"'{file}' did not exist, so this command created the file ({became}). Check its"
            " content, keep it in the folder of the recorded input, and run the command again."
        )
    elif expectation.difference:
        yield f"The result differs from what '{file}' expects:"
        yield from expectation.difference
        yield (
            f"If the new result is right, delete '{file}', which contains the old result, and run"
            " the command again."
        )
    else:
        yield f"The result is what '{file}' expects ({became})."


def _paragraph(stream: ExplainedStream) -> Iterator[str]:
    """Describe what one map makes of a stream."""
    preset = f" (preset {stream.preset})" if stream.preset else ""
    copied = f", counted as {stream.counted_as}" if stream.counted_as != stream.stream else ""
    yield ""
    yield f"Stream {stream.stream}{copied}{preset}"
    if stream.use in _NO_PLAN:
        yield _NO_PLAN[stream.use]
    else:
        yield from _fields(stream)
    if stream.lacks:
        yield f"  This stream cannot produce any event: it lacks {'; '.join(stream.lacks)}."
    yield from (f"  {line}" for line in (stream.advice or "").splitlines())
    if stream.records is not None:
        yield from _records(stream.records, stream.warnings)
    if stream.ends_run:
        yield f"  A run would fail at a record: {stream.ends_run}"


def _fields(stream: ExplainedStream) -> Iterator[str]:
    if stream.deleted_by:
        yield f"  deleted rows     dropped, if {' or '.join(stream.deleted_by)} has a value"
    if stream.only_if is not None:
        yield f"  only if          {stream.only_if}"
    yield from (f"  {field:16} {source}" for field, source in stream.fields.items())
    yield f"  Empty: {', '.join(stream.empty_fields)}."
    if names := stream.unused_columns:
        hidden = len(names) - _MAX_UNUSED_COLUMNS
        more = f" and {hidden} more" if hidden > 0 else ""
        yield f"  Not used: {', '.join(names[:_MAX_UNUSED_COLUMNS])}{more}."
    yield from (f"  {sentence}" for sentence in stream.misspelled)


def _records(records: Records, warnings: list[str]) -> Iterator[str]:
    yield (
        f"  Of {counted(records.read, 'record')}, {records.sent:,} would be sent,"
        f" {records.filtered:,} filtered, {records.rejected:,} rejected"
        f"{f', {records.dropped:,} dropped' if records.dropped else ''}."
    )
    for one in records.reasons:
        first = one.first
        about = f", column {first.field}" if first.field else ""
        about += f" ({first.detail})" if first.detail else ""
        about += f", key properties {_json(first.keys).decode()}" if first.keys else ""
        yield f"  {one.reason} ({one.records:,}), first event: {first.event_id}{about}"
        yield f"    {one.meaning}"
    if mapped := records.read - records.filtered - _not_mapped(records):
        in_all = "the only record" if mapped == 1 else f"all {mapped:,} records"
        yield from (f"  {name} is empty in {in_all}." for name in records.always_empty)
    already_shown = {f"{column} empty" for column in records.always_empty}
    for column, count in records.left_out.items():
        if column not in already_shown:
            yield f"  Left out of events: {column}, {counted(count, 'time')}."
    yield from (f"  {one.words}." for one in records.currencies)
    yield from (f"  WARNING: {sentence}." for sentence in warnings)
    yield from (f"  {bytes(example).decode()}" for example in records.examples)


def _not_mapped(records: Records) -> int:
    return sum(one.records for one in records.reasons if one.reason in NOT_MAPPED)
