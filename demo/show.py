"""Shows what a run of the demo did: the target's summary, what arrived, and the dead letters.

Fails if an order is lost. Each order must have arrived, have a dead letter, or be left out by the
filter of the stream map.

    python3 demo/show.py SANDBOX_URL
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

Row = dict[str, Any]

ORDERS = Path("demo/data/orders.jsonl")
LOG = Path("demo/output/run.log")
STORE = Path("demo/output/liveintent.sqlite")


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 (the sandbox's, http)
        return json.load(answer)


def read_lines(path: Path) -> list[Any]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def dead_letters(store: Path) -> Counter[str]:
    """Return how many dead letters there are of each reason."""
    with contextlib.closing(sqlite3.connect(store)) as database:
        rows = database.execute("SELECT reason, count(*) FROM dead_letter GROUP BY reason")
        return Counter(dict(rows))


def format_counts(counts: Counter[str] | dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def show(title: str, *values: Any) -> None:
    print(f"\n{title}")
    for value in values:
        text = value if isinstance(value, str) else json.dumps(value, indent=2)
        print("  " + text.replace("\n", "\n  "))


def example(orders: dict[str, Row], events: list[Row]) -> tuple[Row, Row]:
    """Return an order, preferably one whose address has capitals, and the event made from it."""
    pairs = [(orders[event["eventId"]], event) for event in events]
    return max(pairs, key=lambda pair: any(c.isupper() for c in (pair[0].get("email") or "")))


def main(url: str) -> int:
    """Show the results and return the exit code."""
    orders = {order["id"]: order for order in read_lines(ORDERS)}
    wanted = [o for o in orders.values() if o["status"] == "paid" and not o["is_test"]]
    reasons = dead_letters(STORE)
    stats = fetch(f"{url}/stats")
    events = fetch(f"{url}/events?limit={len(orders)}")["events"]

    summary = [
        line.partition("total: ")[2] for line in LOG.read_text(encoding="utf-8").splitlines()
    ]
    show("What the target says", *filter(None, summary))
    if events:
        order, event = example(orders, events)
        show("An order, as the shop has it", order)
        show("The same order, as it arrived: it has hashes, but no address", event)
    statuses = {f"answered {status}": count for status, count in stats["by_status"].items()}
    show(
        f"What arrived: {stats['accepted']} conversions, in {stats['requests']} requests",
        f"by source: {format_counts(Counter(event['source'] for event in events))}",
        f"requests: {format_counts(statuses)}",
    )
    show(
        f"What could not be sent: {reasons.total()} dead letters, in {STORE}",
        *(f"{n:3} {reason}" for reason, n in reasons.most_common()),
        "docs/store.md says what to do about them",
    )
    show(
        f"What the stream map left out: {len(orders) - len(wanted)} unpaid orders and test orders",
        "the map is in meltano.yml; docs/reference/columns.md lists the columns that it can fill",
    )
    print()
    if not events or stats["accepted"] + reasons.total() != len(wanted):
        print(f"The counts do not add up to {len(orders)} orders: this is a bug.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
