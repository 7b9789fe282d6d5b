"""The counts of a finished run, from its metrics file."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

DROPS = {"deleted", "no_consent", "suppressed", "already_sent", "over_limit", "expired"}
"""The reasons for dropping a record. With any other reason, a record becomes a dead letter."""


class Counts(NamedTuple):
    """The number of records by outcome, and of dead letters and dropped records by reason."""

    read: int
    filtered: int
    unmapped: int
    not_replayed: int
    no_outcome: int
    delivered: int
    dead_lettered: int
    reasons: dict[str, int]
    dropped: int
    drops: dict[str, int]

    @property
    def adds_up(self) -> bool:
        """Whether each record that was read has at most one outcome, and each reason is counted."""
        return (
            self.no_outcome >= 0
            and sum(self.reasons.values()) == self.dead_lettered
            and sum(self.drops.values()) == self.dropped
        )


class RunCounts(NamedTuple):
    """The counts of a run: of each stream, of all streams (`total`), and of requests."""

    streams: dict[str, Counts]
    requests: int
    retries: int
    throttled: int

    @classmethod
    def read(cls, path: Path) -> RunCounts:
        """Return the counts in a metrics file."""
        tables: dict[str, dict[str, Counter[str]]] = {
            "records": defaultdict(Counter),
            "not_sent": defaultdict(Counter),
        }
        figures: dict[str, int] = {}
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
            name = family.name.removeprefix("target_liveintent_")
            for _, labels, value, *_ in family.samples:
                if name not in tables:
                    figures[name] = int(value)
                    continue
                what = labels.get("outcome") or labels["reason"]
                for stream in (labels["stream"], "total"):
                    tables[name][stream][what] += int(value)
        records, not_sent = tables.values()
        streams = {
            stream: _counts(records[stream], not_sent[stream]) for stream in [*records, "total"]
        }
        return cls(streams, figures["requests"], figures["retries"], figures["throttled"])


def _counts(records: Counter[str], not_sent: Counter[str]) -> Counts:
    outcomes = ("filtered", "unmapped", "not_replayed", "delivered", "rejected", "dropped")
    return Counts(
        read=records["read"],
        filtered=records["filtered"],
        unmapped=records["unmapped"],
        not_replayed=records["not_replayed"],
        no_outcome=records["read"] - sum(records[outcome] for outcome in outcomes),
        delivered=records["delivered"],
        dead_lettered=records["rejected"],
        reasons={reason: n for reason, n in not_sent.items() if reason not in DROPS},
        dropped=records["dropped"],
        drops={reason: n for reason, n in not_sent.items() if reason in DROPS},
    )
