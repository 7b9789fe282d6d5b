"""Writes the run report: the page, and beside it the same as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from target_liveintent import files
from target_liveintent.logs import without_secrets
from target_liveintent.settings import report_json

if TYPE_CHECKING:
    from target_liveintent.facts import Facts


def write(facts: Facts, report_path: str) -> None:
    """Write both files, each at once and for its owner only.

    Args:
        facts: What there is to say.
        report_path: The setting.

    Raises:
        OSError: If one cannot be written.
    """
    from target_liveintent.report_page import page  # noqa: PLC0415 (it imports what draws)

    text = msgspec.json.format(msgspec.json.encode(facts), indent=1).decode()
    files.replace(report_json(report_path), without_secrets(text) + "\n")
    files.replace(report_path, without_secrets(page(facts)))
