"""Writes the files of a run report: the page, and the JSON beside it."""

from __future__ import annotations

import msgspec

from target_liveintent.privacy import without_secrets
from target_liveintent.reporting.run_report.model import Facts
from target_liveintent.settings import report_json
from target_liveintent.storage import replace_file


def write_report(facts: Facts, path: str) -> None:
    """Replace both files; only their owner can read them.

    Args:
        facts: The facts of the run.
        path: The setting `report_path`.

    Raises:
        OSError: If a file cannot be written.
    """
    # Imported here because it imports pygal, which only runs with a report need.
    from target_liveintent.reporting.run_report.page import page  # noqa: PLC0415

    text = msgspec.json.format(msgspec.json.encode(facts), indent=1).decode()
    replace_file(report_json(path), without_secrets(text) + "\n")
    replace_file(path, without_secrets(page(facts)))
