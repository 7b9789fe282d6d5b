"""Keeps a task from sending again what an earlier attempt has delivered, or another job."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from target_liveintent.conversions import Conversion
from target_liveintent.spark.audit import TaskAudit
from target_liveintent.storage import Claim, EventLedger


class AttemptLedger:
    """A ledger that knows what earlier attempts have delivered; see `EventLedger`.

    Args:
        sent: The IDs of those events, by pixel.
        ledger: The ledger that all jobs share; None without one.
        audit: Learns what that ledger knows; None without one.
    """

    def __init__(
        self,
        sent: Mapping[int, Collection[str]],
        ledger: EventLedger | None,
        audit: TaskAudit | None,
    ) -> None:
        self._sent = sent
        self._ledger = ledger
        self._audit = audit

    @property
    def is_kept(self) -> bool:
        """Whether the next run will know what this one delivers."""
        return self._ledger is not None and self._ledger.is_kept

    @property
    def waits_for(self) -> str:
        """What the run waits for at this moment, as a clause; empty if for nothing."""
        return "" if self._ledger is None else self._ledger.waits_for

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        """Claim the events of batches before they are sent."""
        new = {number: self._new(conversions) for number, conversions in batches.items()}
        claims = {number: Claim(conversions, [], 0) for number, conversions in new.items()}
        asked = {number: conversions for number, conversions in new.items() if conversions}
        if self._ledger is not None and asked:
            claims |= self._ledger.claim(asked)
            self._note_known(asked, claims)
        return {
            number: claim._replace(sent=claim.sent + len(batches[number]) - len(new[number]))
            for number, claim in claims.items()
        }

    def _new(self, conversions: Sequence[Conversion]) -> list[Conversion]:
        return [one for one in conversions if one.event_id not in self._sent.get(one.pixel_id, ())]

    def _note_known(
        self, asked: Mapping[int, Sequence[Conversion]], claims: Mapping[int, Claim]
    ) -> None:
        if self._audit is None:
            return
        for number, conversions in asked.items():
            if claims[number].sent:
                others = set(map(id, (*claims[number].mine, *claims[number].waiting)))
                self._audit.already_sent(one for one in conversions if id(one) not in others)

    def confirm(self, number: int, confirmed: Sequence[Conversion]) -> None:
        """Note which events of a batch the API has confirmed, while others have no outcome yet."""
        if self._ledger is not None:
            self._ledger.confirm(number, confirmed)

    def end(self, number: int, confirmed: Sequence[Conversion]) -> None:
        """Note that a batch has its outcome, and which of its events the API confirmed."""
        if self._ledger is not None:
            self._ledger.end(number, confirmed)

    def write(self) -> None:
        """Make durable what was noted, and renew the claims of the run if it is time."""
        if self._ledger is not None:
            self._ledger.write()

    def close(self) -> None:
        """Make durable what was noted, and give all claims back."""
        if self._ledger is not None:
            self._ledger.close()
