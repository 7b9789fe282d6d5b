"""Renders `DeadLetters` as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from target_liveintent.reporting.letters.model import (
    PROSPECTS,
    Addressee,
    DeadLetters,
    Example,
    StreamLetters,
)

_json = msgspec.json.Encoder(decimal_format="number").encode


def as_lines(found: DeadLetters) -> Iterator[str]:
    """Return dead letters as lines to print."""
    yield from found.notes
    if found.letters:
        yield f"Dead letters in the store: {found.letters:,}{_period(found.first, found.last)}"
        yield from _prospects(found.replay, "  ")
    for one in found.reasons:
        yield ""
        yield f"{one.reason}: {one.letters:,}"
        yield f"  {one.advice}"
        for stream in one.streams:
            yield from _stream(stream)
    if found.written_for:
        yield ""
        yield "Written for"
        yield from (f"  {_name(one)}: {one.letters:,}" for one in found.written_for)
    if not found.letters:
        yield "There are no dead letters in the store."


def _stream(stream: StreamLetters) -> Iterator[str]:
    yield f"  {stream.stream}: {stream.letters:,}{_period(stream.first, stream.last)}"
    yield from _prospects(stream.replay, "    ")
    yield from (f"    {_example(one)}" for one in stream.examples)
    if (hidden := stream.letters - len(stream.examples)) > 0:
        yield f"    and {hidden:,} more"


def _prospects(replay: Mapping[str, int], indent: str) -> Iterator[str]:
    for name, words in PROSPECTS.items():
        if replay[name]:
            yield f"{indent}{words}: {replay[name]:,}"


def _period(first: str | None, last: str | None) -> str:
    if first is None or last is None:
        return ""
    if first == last:
        return f", written at {_moment(first)}"
    return f", written from {_moment(first)} to {_moment(last)}"


def _moment(iso: str) -> str:
    return iso.replace("T", " ").replace("+00:00", " UTC")


def _example(one: Example) -> str:
    parts = [
        f"event {one.event_id}" if one.event_id else "",
        f"order {one.order_id}" if one.order_id else "",
        f"column {one.field}" if one.field else "",
        f"key properties {_json(one.keys).decode()}" if one.keys else "",
    ]
    named = ", ".join(part for part in parts if part) or "without an event ID"
    return f"{named}: {one.detail}" if one.detail else named


def _name(one: Addressee) -> str:
    if one.customer_id is None and one.api_host is None and one.pixel_id is None:
        return "unknown account: there was no usable pixel"
    host = f" at {one.api_host}" if one.api_host else ""
    pixel = f", pixel {one.pixel_id}" if one.pixel_id else ""
    return f"{one.customer_id}{host}{pixel}"
