"""A PostgreSQL server that crashes while a run lives: nothing that a STATE covers is lost."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import FaultyServer, Reply
from integration_support import WITH_ID, Launcher, Message, order, schema, state
from ledger_claims import ask, count, letters_by_id
from postgres_server import Postgres
from reliability_support import LONG, assert_adds_up

pytestmark = pytest.mark.postgres

EVENTS = 12_000 if LONG else 6_000
CRASHES = 5 if LONG else 2
BATCH = 25
BAD = {f"order-{n}": n for n in range(0, EVENTS, 100)}
"""One event in a hundred has nobody."""
WRITES_OFTEN = {"target_liveintent.run.outcome_writer:_WRITE_SECONDS": 0.02}
"""Constants of a run that writes much between two STATEs."""
SETTINGS = {
    "batch_size_rows": BATCH,
    "max_concurrent_requests": 4,
    "max_retry_seconds": 60,
    "keep_delivered": True,
}


def messages() -> Iterator[Message]:
    yield schema(columns=WITH_ID)
    for n in range(EVENTS):
        name = f"order-{n}"
        yield order(n, event_id=name, **({"email": None} if name in BAD else {}))
        if n % 200 == 199:
            yield state(n + 1)


def missing(store: str, covered: int) -> dict[str, int]:
    """Return how much the store lacks of the events that a STATE covers."""
    letters = letters_by_id(store)
    bad = [name for name, n in BAD.items() if n < covered]
    good = covered - len(bad)
    return {
        "letters": sum(name not in letters for name in bad),
        "keys": max(0, good - count(store, "event")),
        "delivered": max(0, good - count(store, "delivered")),
    }


@pytest.mark.timeout(180)
def test_crashes_of_the_server_during_a_run(
    tmp_path: Path, postgres: Postgres, store_url: str
) -> None:
    """The run goes on, sends nothing twice, and its figures are those of the store."""
    with (
        FaultyServer(lambda _: Reply(delay=0.01)) as server,
        contextlib.closing(Launcher(tmp_path, server.url)) as target,
    ):
        run = target.start(store=store_url, constants=WRITES_OFTEN, **SETTINGS)
        for place, message in enumerate(messages()):
            run.send(message)
            if place % (EVENTS // (CRASHES + 1)) == 0 and place:
                postgres.crash()
        run.close_input().wait(60)
    assert (run.code, run.states[-1]) == (0, EVENTS), run.log
    assert missing(store_url, EVENTS) == {"letters": 0, "keys": 0, "delivered": 0}
    assert server.repeats == []
    total = assert_adds_up(run, EVENTS)
    assert (total.delivered, total.dead_lettered) == (EVENTS - len(BAD), len(BAD))
    ((figures,),) = ask(store_url, "SELECT CAST(figures AS text) FROM run")
    # No dead letter was there before, so each of them adds what its event is worth.
    assert '"repeated":{}' in figures
    assert f'"missing":{{"USD":"{12.5 * len(BAD)}"}}' in figures
