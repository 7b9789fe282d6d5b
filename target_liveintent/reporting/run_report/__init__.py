"""Writes the run report: the page, and beside it the same as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from target_liveintent.privacy.logs import without_secrets
from target_liveintent.reporting.run_report.facts import gather
from target_liveintent.settings import report_json
from target_liveintent.storage import files

if TYPE_CHECKING:
    import logging

    from target_liveintent.reporting.run_report.facts import Ending, Facts
    from target_liveintent.reporting.run_report.tally import Tally
    from target_liveintent.run.counts import RunCounts
    from target_liveintent.settings import Settings


def tell(  # noqa: PLR0913 (an argument for each thing that the report is about)
    counts: RunCounts,
    tally: Tally,
    settings: Settings,
    ending: Ending,
    *,
    program: str,
    logger: logging.Logger,
) -> None:
    """Write the report of a run that is over, if it is asked for.

    Args:
        counts: The counts of the run.
        tally: What it delivered.
        settings: Its settings.
        ending: How it ended.
        program: Name and version.
        logger: Told where the report is, or why there is none: the events are delivered and STATE
            is out, so that is no reason to fail.
    """
    path = settings.report_path
    if path is None:
        return
    tally.timeline.look(counts)
    try:
        write(gather(counts, tally, settings, ending, program), path)
    except Exception as failure:  # noqa: BLE001 (whatever it is, see above)
        why = getattr(failure, "strerror", None) or type(failure).__name__
        logger.warning("report_path '%s' cannot be written: %s", path, why)
    else:
        logger.info("a report to look at is in %s", path)


def write(facts: Facts, path: str) -> None:
    """Write both files, each at once and for its owner only.

    Args:
        facts: What there is to say.
        path: The setting.

    Raises:
        OSError: If one cannot be written.
    """
    from target_liveintent.reporting.run_report.page import page  # noqa: PLC0415 (it imports what draws)

    text = msgspec.json.format(msgspec.json.encode(facts), indent=1).decode()
    files.replace(report_json(path), without_secrets(text) + "\n")
    files.replace(path, without_secrets(page(facts)))
