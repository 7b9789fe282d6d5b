"""Says why a run over the input of `--explain` would fail."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from target_liveintent.conversions import missing_columns_message
from target_liveintent.settings import Settings
from target_liveintent.singer.explain.inspect import Inspector
from target_liveintent.singer.stream_maps import StreamMaps
from target_liveintent.singer.streams import unmapped_message


def input_problems(inspector: Inspector, settings: Settings, maps: StreamMaps) -> Iterator[str]:
    """Yield a sentence for each reason for which a run over the same input would fail."""
    for explained in inspector.plans:
        name = explained.plan.stream
        if explained.is_refused:
            yield missing_columns_message(name, explained.missing)
        if explained.noted.mistake:
            yield explained.noted.mistake
        if settings.fail_on_rejection:
            for reason in itertools.islice(explained.counts.rejected, 1):
                yield f"a record of '{name}' is rejected as {reason}, and on_rejection is 'fail'"
    plans = inspector.plans
    came = inspector.records or (inspector.is_catalog and inspector.streams)
    if came and not any(one.gives_events or one.is_refused for one in plans):
        yield unmapped_message(inspector.streams, maps.names)
    percent = settings.max_dead_letter_percent
    if problem := inspector.counts.too_many_rejected(percent, at_end=True):
        yield problem
