"""Checks that a run does not replace the page of another account or pixel."""

from __future__ import annotations

import html
import re
from pathlib import Path

from target_liveintent.errors import ConfigurationError
from target_liveintent.settings import Account

_OWNER = re.compile('<meta name="target-liveintent" content="([^"]*)">')
_HEAD_CHARACTERS = 2_000
"""The owner of a page is within this number of characters from its beginning."""


def owner_of(account: str, pixel_id: int | None) -> str:
    """Return whose page it is: "a-1b2c at api.example.com, pixel 4711"."""
    return f"{account}, pixel {pixel_id}" if pixel_id else account


def check_owner(path: str, account: Account, pixel_id: int | None) -> None:
    """Check that a run does not replace the page of another account or pixel.

    Raises:
        ConfigurationError: If the file at the path is such a page.
    """
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as page:
            owners = _OWNER.findall(page.read(_HEAD_CHARACTERS))
    except OSError:  # There is no page, or it cannot be read.
        return
    own = owner_of(account.words, pixel_id)
    for owner in map(html.unescape, owners):
        if owner != own:
            msg = (
                f"report_path '{path}' is the page of {owner}, and these settings are for {own}."
                " Give each account and pixel a report_path of its own. If you have changed the"
                " account or the pixel, move or delete the page"
            )
            raise ConfigurationError(msg)
