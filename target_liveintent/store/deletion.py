"""Deletes rows for which somebody asks: dead letters by their reason, and all about people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from target_liveintent.store.database import Database, Step
from target_liveintent.store.ledger import LedgerAccount


def delete_letters(
    database: Database, account: LedgerAccount, pixel_id: int | None, reason: str
) -> int:
    """Delete the dead letters of an account that have a reason, and return how many there were.

    Args:
        database: The store.
        account: The account.
        pixel_id: Only those of this pixel, or without one; None for all.
        reason: The reason.
    """
    which = (
        "dead_letter WHERE customer_id = ? AND api_host = ? AND reason = ?"
        " AND pixel_id IN (coalesce(?, pixel_id), 0)"
    )
    return _delete(database, [(which, [*account, reason, pixel_id])])


def forget_people(database: Database, hashes: Iterable[str]) -> int:
    """Delete every row of dead letters and delivered events that has one of these hashes.

    Args:
        database: The store.
        hashes: In hexadecimal digits.

    Returns:
        How many rows were deleted.
    """
    which: list[tuple[str, Sequence[Any]]] = []
    for digest in sorted(hashes):
        which += [
            # Besides the columns of hashes, a dead letter has them where an address was replaced.
            ("dead_letter WHERE lower(CAST(record AS TEXT)) LIKE ?", [f"%{digest}%"]),
            ("delivered WHERE md5 = ?", [digest]),
            ("delivered WHERE sha2 = ?", [digest]),
        ]
    return _delete(database, which)


def _delete(database: Database, which: Iterable[tuple[str, Sequence[Any]]]) -> int:
    steps = []
    for condition, values in which:
        steps += [
            Step(f"SELECT count(*) FROM {condition}", values),  # noqa: S608 (constants)
            Step(f"DELETE FROM {condition}", values),  # noqa: S608
        ]
    answers = database.transact(steps, durable=True)
    return sum(rows[0][0] for rows in answers[::2])
