"""Says why a run over the input of `explain` would fail."""

from __future__ import annotations

from collections.abc import Iterator

from target_liveintent.explain import run_problems
from target_liveintent.mapping import StreamMaps
from target_liveintent.settings import Settings
from target_liveintent.singer.explain.inspect import Inspector
from target_liveintent.singer.streams import unmapped_message


def input_problems(inspector: Inspector, settings: Settings, maps: StreamMaps) -> Iterator[str]:
    """Yield a sentence for each reason for which a run over the same input would fail."""
    plans = inspector.plans
    yield from run_problems(plans, settings)
    came = inspector.records or (inspector.is_catalog and inspector.streams)
    if came and not any(one.gives_events or one.is_refused for one in plans):
        yield unmapped_message(inspector.streams, maps.names)
