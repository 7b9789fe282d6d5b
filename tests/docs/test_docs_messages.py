"""Troubleshooting quotes only what the program says, and is short."""

from __future__ import annotations

import fnmatch
import re

import pytest
from docs_support import DOCS
from messages import messages

PAGE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
MOST_WORDS = 2_500
OF_OTHERS = {'cannot be written in the "ErrorIfExists" mode', "read 0"}
"""What Spark says, and a part of a summary."""

MESSAGES = messages()
# The code at the beginning of an entry or of a row, if it is more than a word.
_HEADS = re.findall(r"^(?:- |\| )((?:`[^`\n]+`(?:, )?)+)", PAGE, re.MULTILINE)
QUOTED = [text for head in _HEADS for text in re.findall("`([^`]+)`", head) if " " in text]


def test_there_are_messages() -> None:
    """The collection finds what it is for, in each way in which the code says something."""
    for known in (
        "setting '…' is required: …",
        "the API gave an unexpected answer: …. Check api_url and customer_id",
        "the API accepted nothing for … seconds (max_retry_seconds): …",
        "stream '…' is skipped: no stream map names it…",
        "the host name was not found",
        "so far: …",
    ):
        assert known in MESSAGES
    assert len(QUOTED) > 15


@pytest.mark.parametrize("text", sorted({*QUOTED} - OF_OTHERS))
def test_the_program_says_it(text: str) -> None:
    """Whoever searches the page for a part of a message finds the words of the program."""
    pattern = "*" + re.sub(r"([\[*?])", r"[\1]", text).replace("…", "*") + "*"
    assert fnmatch.filter(MESSAGES, pattern) != []


def test_is_short() -> None:
    """Messages explain themselves; the page has only what a message cannot know."""
    assert len(PAGE.split()) <= MOST_WORDS
