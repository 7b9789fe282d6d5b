"""`delivered` and `forget`: what the store keeps of delivered events, and of people."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from faulty_server import Reply
from integration_support import CUSTOMER, WITH_ID, order, orders, schema, state
from ledger_claims import ask, count

if TYPE_CHECKING:
    from pathlib import Path

    from faulty_server import FaultyServer, Request
    from integration_support import Launcher

KEPT = {"keep_delivered": True}
COLUMNS = (*WITH_ID, "order_id")


def rows(launcher: Launcher, *options: str, **settings: Any) -> list[dict[str, str]]:
    """Return the rows of the CSV."""
    run = launcher.ask("delivered", *options, **settings)
    assert (run.code, run.log) == (0, "")
    return list(csv.DictReader(run.stdout.splitlines()))


def test_what_was_confirmed(to_server: Launcher, server: FaultyServer) -> None:
    """What a 204 or a 200 that names the others confirmed is kept, and nothing else."""

    def answer(request: Request) -> Reply:
        if "order-150" in request.ids:
            return Reply(200, json.dumps(["order-150", "order-151"]).encode())
        if any(int(name.partition("-")[2]) >= 200 for name in request.ids):
            return Reply(200, b"[]")  # Some, it does not say which.
        return Reply(400) if "order-7" in request.ids else Reply()

    server.answer = answer
    messages = [order(n, event_id=f"order-{n}", order_id=f"#{n}") for n in range(300)]
    run = to_server.run(schema(columns=COLUMNS), *messages, state(1), **KEPT)
    assert (run.code, run.states) == (0, [1])
    found = rows(to_server)
    expected = {f"#{n}" for n in range(200)} - {"#7", "#150", "#151"}
    assert Counter(row["order_id"] for row in found) == Counter(expected)
    assert len(found) == run.summary["total"].delivered
    assert {(row["source"], row["value"], row["currency"]) for row in found} == {
        ("web", "12.5", "USD")
    }
    sent = {e["purchaseData"]["orderId"]: e for request in server.requests for e in request.events}
    for row in found:
        event = sent[row["order_id"]]
        assert row["md5"] == event["userData"]["md5"]
        moment = dt.datetime.fromisoformat(row["event_time"].replace("Z", "+00:00"))
        assert moment.timestamp() == event["eventTime"]


# forget


def test_forget(to_server: Launcher, server: FaultyServer, store: Path | str) -> None:
    """All rows about a person go, of all accounts; their events are still known to be delivered."""
    own = {**KEPT, "store": str(store)}
    bad = [order(1, id=n, event_time="soon") for n in (11, 12)]
    for account in (CUSTOMER, "b-9z9z"):
        run = to_server.run(schema(), *orders(3), *bad, **own, customer_id=account)
        assert run.code == 0
    run = to_server.begin("forget", store=str(store))
    run.stdin.write(b"\nBuyer1@Example.com\nnobody@example.com\n")
    run.close_input().wait()
    assert (run.code, run.stdout, run.log) == (0, "deleted 6 rows", "")
    assert (count(store, "dead_letter"), count(store, "delivered")) == (0, 4)
    digest = hashlib.md5(b"buyer1@example.com", usedforsecurity=False).hexdigest()
    assert ask(store, "SELECT count(*) FROM delivered WHERE md5 = ?", digest) == [(0,)]
    again = to_server.run(schema(), *orders(3), **own)
    assert again.summary["total"].drops == {"already_sent": 3}
    assert len(server.accepted) == 6
