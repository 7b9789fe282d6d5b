"""Deletes what the store has about people."""

from __future__ import annotations

from collections.abc import Iterable

from target_liveintent.store.database import AnyStep, Database, Step

_PLACES = (
    # Besides the columns of hashes, a dead letter has them wherever an address was replaced.
    ("dead_letter", "lower(CAST(record AS TEXT)) LIKE ?", "%{}%"),
    ("delivered", "md5 = ?", "{}"),
    ("delivered", "sha2 = ?", "{}"),
)
"""The tables, each with a condition, and how a hash becomes the value in it."""


def forget_people(database: Database, hashes: Iterable[str]) -> int:
    """Delete every row of dead letters and delivered events that has one of these hashes.

    Args:
        database: The store.
        hashes: In hexadecimal digits.

    Returns:
        How many rows were deleted.

    Raises:
        StorageError: If the store cannot be used.
    """
    steps: list[AnyStep] = []
    for digest in sorted(hashes):
        for table, condition, pattern in _PLACES:
            values = [pattern.format(digest)]
            steps += [
                Step(f"SELECT count(*) FROM {table} WHERE {condition}", values),  # noqa: S608
                Step(f"DELETE FROM {table} WHERE {condition}", values),  # noqa: S608
            ]
    answers = database.transact(steps, durable=True)
    return sum(rows[0][0] for rows in answers[::2])
