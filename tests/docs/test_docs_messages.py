"""Troubleshooting has an entry for each message of the program, and none that it no longer has."""

from __future__ import annotations

import re

import pytest
from docs_support import DOCS
from messages import messages

from target_liveintent.reasons import REASONS

PAGE = DOCS / "troubleshooting.md"
_ENTRY = re.compile(r"^- `([^`\n]+)`<br>$", re.MULTILINE)
UNSAID = {
    "and others": "part of a message",
    "not a database": "what SQLite says of a file",
    "Only the first … records were read.": "a note of `explain`, which needs no explanation",
    "… Its columns are: ….": "part of a message",
    "not available": "the kind of an error inside an expression, of which only the name is shown",
    "… is not fetched": "jsonschema's own question, caught where the schema is compiled",
    ", column …": "part of a message",
    "module … has no attribute …": "what Python says of a name that a program misspells",
    "intermittent failure": "the kind of a failure that does not happen again, not a message",
}
"""Texts in the places of messages that nobody reads."""

MESSAGES = messages()
ENTRIES = _ENTRY.findall(PAGE.read_text(encoding="utf-8"))


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


@pytest.mark.parametrize("message", sorted(MESSAGES.keys() - UNSAID), ids=MESSAGES.get)
def test_each_message_has_an_entry(message: str) -> None:
    """Whoever searches the page for a message finds what happened and what to do."""
    assert message in ENTRIES, f"{PAGE.name} lacks: {message}"


def test_no_entry_is_stale() -> None:
    assert [entry for entry in ENTRIES if entry not in MESSAGES] == []
    assert len(ENTRIES) == len(set(ENTRIES))
    assert MESSAGES.keys() >= UNSAID.keys()


def test_each_entry_says_what_to_do() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(re.findall(r"`<br>\n  \S", text)) == len(ENTRIES)


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_is_there(reason: str) -> None:
    assert f"| `{reason}` |" in PAGE.read_text(encoding="utf-8")
