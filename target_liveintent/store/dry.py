"""Stands in for the store in a dry run: reads what was delivered, and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from target_liveintent.conversions import Conversion, Rejection
from target_liveintent.store.database import Database
from target_liveintent.store.ledger import Claim, Ledger, LedgerAccount


class DryStore:
    """Says which events a run would not send, because they were delivered or come twice.

    Args:
        database: The store; None if there is none yet.
        account: Whose events are sent.
        send_again: Whether the run would send delivered events once more.
    """

    def __init__(
        self, database: Database | None, account: LedgerAccount, *, send_again: bool = False
    ) -> None:
        self._database = database
        self._ledger = Ledger(account, send_again=send_again)
        if database is not None:
            newest = Ledger.newest()
            self._ledger.remember(database.read(newest.sql, newest.values))

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        """Say what a run would send. An event that waits for an equal one comes twice."""
        claims, wanted = self._ledger.look_up(batches)
        keys = [key for asked in wanted.values() for key in asked]
        known = [] if self._database is None else self._database.find(self._ledger.known(keys, 0))
        claims = self._ledger.answer(claims, wanted, (), known)
        return {
            number: Claim(one.mine, [], one.sent + one.waiting) for number, one in claims.items()
        }

    def deliver(self, conversions: Sequence[Conversion], sent_at: Sequence[float]) -> None:
        """Do nothing: nothing is written."""

    def settle(self, conversions: Sequence[Conversion]) -> None:
        """Do nothing: nothing is written."""

    def confirm(self, number: int, confirmed: Sequence[Conversion], *, is_last: bool) -> None:
        """Remember what would be sent, as far as a run does."""
        if is_last:
            self._ledger.confirm(number, confirmed, is_last=True)
            self._ledger.told()

    def reject(self, rejection: Rejection) -> None:
        """Do nothing: nothing is written."""

    def drop(self, rejection: Rejection, reason: str) -> None:
        """Do nothing: nothing is written."""

    def write(self, *, durable: bool = False) -> None:
        """Do nothing: nothing is written."""

    def release(self) -> None:
        """Close the store."""
        if self._database is not None:
            self._database.close()
