"""The summary at the end, whose totals add up, and what else a run says."""

import json
import re
from collections import Counter
from typing import Any

import pytest
from faulty_server import FaultyServer, Reply, Request
from integration_support import DAY, Launcher, order, orders, schema, state

from target_liveintent.sandbox import Sandbox


def test_clean_run(target: Launcher, sandbox: Sandbox) -> None:
    """A clean run says nothing alarming, nothing for each batch, and what became of each record."""
    run = target.run(schema(), *orders(1000), state(1), batch_size_rows=10)
    assert (run.code, run.warnings) == (0, [])
    assert not re.search("error|exception|fail|traceback", run.log, re.IGNORECASE)
    assert len(run.err) < 12
    assert run.summary.keys() == {"orders", "total"}
    total = run.summary["total"]
    assert (total.read, total.delivered, total.dead_lettered) == (1000, 1000, 0)
    assert run.requests == sandbox.stats.requests == 100
    assert re.search(r"\b0 retries\b", run.log)
    assert re.search(r"\d+(\.\d+)? s(econds)?\b", run.log)
    assert run.texts[-2].startswith("total: ")  # Where nothing went wrong, no advice follows.
    assert run.last_line.startswith("in the last 24 hours: read 1,000 = arrived 1,000 + waits 0")
    # The number of lines does not grow with the number of batches.
    small = target.run(schema(), *orders(1000, 1010), state(1), batch_size_rows=10)
    assert len(small.err) == len(run.err)


def test_every_fate(to_server: Launcher, server: FaultyServer) -> None:
    """With every fate in one run, each line adds up, and the lines add up to the total."""

    def answer(request: Request) -> Reply:
        if "order-20" in request.ids:
            return Reply(400)
        if "order-41" in request.ids:
            return Reply(200, b'["order-41"]')
        if "order-60" in request.ids:
            return Reply(200)
        return Reply()

    server.answer = answer
    maps = {
        "orders": {
            "event_id": "'order-' + str(id)",
            "event_time": "event_time",
            "email": "email",
            "value": "float(value) if id == 73 else value",
            "__filter__": "id % 10 != 9",
            "__else__": "__NULL__",
        },
        "dropped": "__NULL__",
    }
    now = order(0)["record"]["event_time"]
    changed: dict[int, dict[str, Any]] = {
        70: {"email": None},
        71: {"event_time": None},
        72: {"event_time": now - 20 * DAY},
        73: {"value": "x"},
        74: {"event_time": now + 2 * DAY},
        75: {"email": "junk"},
        76: {"_sdc_deleted_at": "2026-07-31T00:00:00+00:00"},
    }
    messages = [order(n, **changed.get(n, {})) for n in range(80)]
    others = [order(n, stream) for n in range(3) for stream in ("dropped", "customers")]
    run = to_server.run(
        schema(),
        schema("dropped"),
        schema("customers", ("id", "name")),
        *messages,
        *others,
        state(1),
        stream_maps=maps,
        batch_size_rows=5,
        max_concurrent_requests=1,
    )
    assert (run.code, run.states) == (0, [1])
    assert all(counts.adds_up for counts in run.summary.values())
    counts = run.summary["orders"]
    assert (counts.read, counts.filtered) == (80, 8)
    reasons = {
        "refused_by_api": 1, "not_processed": 1, "unconfirmed": 5, "no_identity": 2,
        "missing_event_time": 1, "event_too_old": 1, "mapping_failed": 1, "event_in_future": 1,
    }  # fmt: skip
    assert counts.reasons == reasons
    assert counts.drops == {"deleted": 1}
    assert counts.delivered == 80 - 8 - sum(reasons.values()) - 1
    assert Counter(x["reason"] for x in run.letters) == reasons
    assert run.summary["dropped"].filtered == 3
    assert run.summary["customers"].unmapped == 3
    assert run.summary["total"].read == 86
    assert run.requests == len(server.requests)
    (line,) = run.totals
    assert line.startswith(f"total: read 86, filtered 11, unmapped 3, delivered {counts.delivered}")
    assert f"; {run.requests} requests, 0 retries, " in line


@pytest.mark.parametrize(
    ("partial_answer", "reasons", "warned"),
    [
        (None, {"not_processed": 2}, 1),
        ("failed", {"not_processed": 2}, 0),
        ("processed", {"not_processed": 8}, 0),
        ("unknown", {"unconfirmed": 10}, 0),
    ],
    ids=["not set", "failed", "processed", "unknown"],
)
def test_the_setting_says_what_a_200_names(
    to_server: Launcher,
    server: FaultyServer,
    partial_answer: str | None,
    reasons: dict[str, int],
    warned: int,
) -> None:
    """Two answers name one event of five each; what that means is assumed until it is set."""
    server.answer = lambda request: Reply(200, json.dumps(request.ids[:1]).encode())
    given = {"partial_answer": partial_answer} if partial_answer else {}
    run = to_server.run(
        schema(), *map(order, range(10)), state(1), batch_size_rows=5,
        max_dead_letter_percent=100, **given,
    )  # fmt: skip
    assert run.code == 0
    assert run.summary["orders"].reasons == reasons
    assert run.summary["orders"].delivered == 10 - sum(reasons.values())
    said = [line for line in run.warnings if "partial_answer" in line]
    assert len(said) == warned
    assert all(line.startswith("8 of 8 delivered events were in requests") for line in said)


# What a run says, and how it ends, if little or nothing comes of it


def test_a_tap_that_died(target: Launcher) -> None:
    """A run to which not even a SCHEMA came says so."""
    run = target.run(state(1))
    assert run.code == 0
    (said,) = run.warnings
    assert said.startswith("the input contains neither a record nor a SCHEMA. ")
