"""Says why a run over what was explained would fail."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from target_liveintent.conversions import missing_columns_message
from target_liveintent.explain.explained import Explained
from target_liveintent.run import RunCounts
from target_liveintent.settings import Settings


def run_problems(plans: Sequence[Explained], settings: Settings) -> Iterator[str]:
    """Yield a sentence for each stream that ends a run, and for too many dead letters."""
    counts = RunCounts()
    for explained in plans:
        name = explained.plan.stream
        counts.of(name).add(explained.counts)
        if explained.is_refused:
            yield missing_columns_message(name, explained.missing)
        if explained.noted.mistake:
            yield explained.noted.mistake
        if settings.fail_on_rejection:
            for reason in itertools.islice(explained.counts.rejected, 1):
                yield f"a record of '{name}' is rejected as {reason}, and on_rejection is 'fail'"
    percent = settings.max_dead_letter_percent
    if problem := counts.too_many_rejected(percent, at_end=True):
        yield problem
