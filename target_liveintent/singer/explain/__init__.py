"""What `explain` finds out about an input: read, judged, and compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO

from target_liveintent.explain import AbsentStream, Explanation, describe
from target_liveintent.mapping import StreamMaps, absent_streams
from target_liveintent.settings import Settings
from target_liveintent.singer.explain.expectation import compare
from target_liveintent.singer.explain.inspect import Inspector
from target_liveintent.singer.explain.judge import input_problems
from target_liveintent.singer.explain.proposal import write_config

__all__ = ["explain", "write_config"]


def explain(
    source: IO[str],
    settings: Settings,
    maps: StreamMaps,
    in_use: Mapping[str, str],
    expected: str | None = None,
) -> Explanation:
    """Explain what a run would do with a Singer stream or a tap's catalog.

    Args:
        source: The input.
        settings: The settings.
        maps: The stream maps.
        in_use: The setting `presets`.
        expected: A file to compare with; then ages are judged as of the newest event.

    Raises:
        RunError: If the input or the file cannot be used. The message has the number of a line, not
            its content.
    """
    inspector = Inspector(settings, maps, from_recording=expected is not None)
    notes = list(inspector.read(source))
    absent = absent_streams(maps.names, inspector.streams) if inspector.streams else ()
    return Explanation(
        notes=notes,
        streams=[describe(one, settings, in_use) for one in inspector.plans],
        absent_streams=[AbsentStream(name, similar or None) for name, similar in absent],
        failures=list(input_problems(inspector, settings, maps)),
        expectation=None if expected is None else compare(inspector, expected),
    )
