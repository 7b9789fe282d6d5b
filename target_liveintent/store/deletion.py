"""Deletes rows on request: dead letters by their reason, and all rows about people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from target_liveintent.settings import Settings
from target_liveintent.store.database import Database
from target_liveintent.store.layout import Step

_LETTERS = (
    "dead_letter WHERE customer_id = ? AND api_host = ? AND reason = ?"
    " AND pixel_id IN (coalesce(?, pixel_id), 0)"
)
_OF_PERSON = (
    # Besides the columns of hashes, a dead letter has hashes where an address was replaced.
    ("dead_letter WHERE lower(CAST(record AS TEXT)) LIKE ?", "%{}%"),
    ("delivered WHERE md5 = ?", "{}"),
    ("delivered WHERE sha2 = ?", "{}"),
)


def delete_letters(database: Database, settings: Settings, reason: str) -> int:
    """Delete the dead letters of an account and pixel that have a reason; return their number.

    Without the setting `pixel_id`, those of all pixels go.
    """
    return _delete(database, [(_LETTERS, [*settings.account, reason, settings.pixel_id])])


def forget_people(database: Database, hashes: Iterable[str]) -> int:
    """Delete each row of dead letters and delivered events that has one of these hashes.

    Returns:
        How many rows were deleted.
    """
    found = [(rows, [text.format(one)]) for one in sorted(hashes) for rows, text in _OF_PERSON]
    return _delete(database, found)


def _delete(database: Database, which: Iterable[tuple[str, list[Any]]]) -> int:
    steps = []
    for rows, values in which:
        steps.append(Step(f"SELECT count(*) FROM {rows}", values))  # noqa: S608 (constants)
        steps.append(Step(f"DELETE FROM {rows}", values))  # noqa: S608
    answers = database.transact(steps, durable=True)
    return sum(rows[0][0] for rows in answers[::2])
