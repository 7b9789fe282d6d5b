"""Stands in for the ledger in a dry run: reads what it knows, and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from target_liveintent.conversions import Conversion
from target_liveintent.storage.ledger import Claim, Ledger, event_key

_MOST_REMEMBERED = 1_000_000
"""Events of a dry run that are remembered: 200 MB. A repeat that comes later is not found."""


class LedgerPreview:
    """Says which events a run would not send, because they were delivered or come twice.

    What is unsent counts as delivered from then on, as a dry run takes all that it would send.

    Args:
        ledger: What was delivered before; it must have a file already. None if there is no ledger.

    Attributes:
        is_kept: False: the next run will not know what this one shows.
    """

    is_kept = False

    def __init__(self, ledger: Ledger | None) -> None:
        self._ledger = ledger
        self._shown: set[tuple[int, str, str]] = set()

    @property
    def waits_for(self) -> str:
        """What the run waits for at this moment, as a clause; empty if for nothing."""
        return "" if self._ledger is None else self._ledger.waits_for

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        """Say what a run would send; no event has to wait for an equal one."""
        claims = {}
        for number, conversions in batches.items():
            unsent = self.unsent(conversions)
            claims[number] = Claim(unsent, [], len(conversions) - len(unsent))
        return claims

    def confirm(self, number: int, confirmed: Sequence[Conversion]) -> None:
        """Do nothing: nothing is written."""

    def end(self, number: int, confirmed: Sequence[Conversion]) -> None:
        """Do nothing: nothing is written."""

    def write(self) -> None:
        """Do nothing: nothing is written."""

    def unsent(self, conversions: Sequence[Conversion]) -> list[Conversion]:
        """Return the events that a run would send; of equal ones, the first."""
        new: dict[tuple[int, str, str], Conversion] = {}
        for conversion in conversions:
            key = event_key(conversion)
            if key not in self._shown:
                new.setdefault(key, conversion)
        unsent = list(new.values())
        if self._ledger is not None:
            unsent = self._ledger.unsent(unsent)
        if len(self._shown) >= _MOST_REMEMBERED:
            self._shown.clear()
        self._shown.update(map(event_key, unsent))
        return unsent

    def close(self) -> None:
        """Close the file."""
        if self._ledger is not None:
            self._ledger.close()
