"""Builds the input and the settings of the tests of `explain`."""

import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from target_liveintent.config import settings_of
from target_liveintent.explain.description import Explained, Explanation
from target_liveintent.mapping.stream_maps import StreamMaps
from target_liveintent.printing import lines_of
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.settings import Settings
from target_liveintent.singer.explaining import explain_input, explained_streams, read_input
from target_liveintent.singer.streams import RecordRules

ACCOUNT = {"customer_id": "a-1b2c", "auth_token": "made-up-token"}
EVENTS = {"pixel_id": 1, "default_source": "web"}
"""Settings with which a time and an address make an event."""


def settings(**changes: Any) -> Settings:
    return settings_of({**ACCOUNT, **EVENTS, **changes})


def maps_and_rules(**changes: Any) -> tuple[StreamMaps, RecordRules]:
    given = settings(**changes)
    suppressions = Suppressions(given.suppression_path)
    return (
        StreamMaps(given.stream_maps, given.stream_map_config, given.presets),
        RecordRules(given.events, suppressions, given.validate_records, given.on_rejection),
    )


def explain(
    messages: Iterable[dict[str, Any]], expected: str | None = None, **changes: Any
) -> Explanation:
    """Explain an input with settings."""
    percent = settings(**changes).max_dead_letter_percent
    parts = maps_and_rules(**changes)
    return explain_input(source(messages), *parts, expected, max_dead_letter_percent=percent)


def schema(columns: Iterable[str] | dict[str, Any], keys: Sequence[str] = ()) -> dict[str, Any]:
    """Return the SCHEMA of the stream `orders` with these columns."""
    properties = columns if isinstance(columns, dict) else {column: {} for column in columns}
    message = {"type": "SCHEMA", "stream": "orders", "schema": {"properties": properties}}
    return {**message, "key_properties": list(keys)}


def record(columns: dict[str, Any], stream: str = "orders") -> dict[str, Any]:
    return {"type": "RECORD", "stream": stream, "record": columns}


def source(messages: Iterable[dict[str, Any]]) -> io.StringIO:
    return io.StringIO("\n".join(map(json.dumps, messages)))


def inspected(
    *messages: dict[str, Any],
    maps: dict[str, Any] | None = None,
    recorded: bool = False,
    **changes: Any,
) -> list[Explained]:
    """Return what becomes of the messages of an input of which nothing is to be said."""
    read = read_input(source(messages))
    assert read.notes == []
    return explained_streams(
        read, *maps_and_rules(stream_maps=maps, **changes), from_recording=recorded
    )


def explained(
    *messages: dict[str, Any],
    maps: dict[str, Any] | None = None,
    expected: str | None = None,
    **changes: Any,
) -> Explanation:
    """Explain an input."""
    return explain(messages, expected, stream_maps=maps, **changes)


def printed(*messages: dict[str, Any], **options: Any) -> list[str]:
    """Return the lines that an explanation prints."""
    return lines_of("explain/explanation.txt", explained(*messages, **options))
