"""A PostgreSQL server that crashes while a run lives: nothing that a STATE covers is lost."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import FaultyServer, Reply
from integration_support import WITH_ID, Launcher, Message, order, schema, state, wait_until
from postgres_server import Postgres
from reliability_support import LONG, assert_adds_up
from store_tables import ask, count, letters_by_id

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


@pytest.mark.promise(
    "A STATE is written only when the store has the outcome of every record before it"
)
@pytest.mark.timeout(180)
@pytest.mark.parametrize("count_of_runs", [1, 2], ids=["one run", "two runs of the same events"])
def test_crashes_of_the_server_during_a_run(
    tmp_path: Path, postgres: Postgres, store_url: str, count_of_runs: int
) -> None:
    """Each run goes on, nothing is sent twice, and the figures are those of the store."""
    with (
        FaultyServer(lambda _: Reply(delay=0.01)) as server,
        contextlib.closing(Launcher(tmp_path, server.url)) as target,
    ):
        runs = [
            target.start(store=store_url, constants=WRITES_OFTEN, **SETTINGS)
            for _ in range(count_of_runs)
        ]
        for place, message in enumerate(messages()):
            for run in runs:
                run.send(message)
            if place % (EVENTS // (CRASHES + 1)) == 0 and place:
                postgres.crash()
        for run in runs:
            run.close_input().wait(60)
            assert (run.code, run.states[-1]) == (0, EVENTS), run.log
    assert missing(store_url, EVENTS) == {"letters": 0, "keys": 0, "delivered": 0}
    assert server.repeats == []
    totals = [assert_adds_up(run, EVENTS) for run in runs]
    assert sum(total.delivered for total in totals) == EVENTS - len(BAD)
    assert {total.dead_lettered for total in totals} == {len(BAD)}
    figures = [
        json.loads(text) for (text,) in ask(store_url, "SELECT CAST(figures AS text) FROM run")
    ]
    new = [len(BAD) - sum(run["streams"]["orders"]["repeated"].values()) for run in figures]
    assert sum(new) == len(BAD)


@pytest.mark.timeout(180)
def test_a_database_that_is_set_back(tmp_path: Path, postgres: Postgres, store_url: str) -> None:
    """The run says so and ends, without a further STATE; the next run reads all again.

    So it is with a replica that has not received all, when it takes the place of the server.
    """
    with (
        FaultyServer(lambda _: Reply(delay=0.01)) as server,
        contextlib.closing(Launcher(tmp_path, server.url)) as target,
    ):
        run = target.start(store=store_url, constants=WRITES_OFTEN, **SETTINGS)
        given = list(messages())
        run.send(*given[: len(given) // 3])
        wait_until(lambda: count(store_url, "event") > BATCH, "the first keys")
        backup = tmp_path / "backup"
        postgres.crash(lambda data: subprocess.run(["cp", "-a", data, backup], check=True))
        before = count(store_url, "event")
        run.send(*given[len(given) // 3 : len(given) // 2])
        wait_until(lambda: count(store_url, "event") > before + BATCH, "more keys")

        def set_back(data: Path) -> None:
            shutil.rmtree(data)
            subprocess.run(["mv", backup, data], check=True)

        postgres.crash(set_back)
        run.wait(60)
        assert run.code == 1, run.log
        assert "has lost what this run wrote before" in run.last_line
        assert "Traceback" not in run.log
        state = run.states[-1] if run.states else 0
        again = target.run(*given, patience=60, store=store_url, **SETTINGS)
        assert (again.code, again.states[-1]) == (0, EVENTS), again.log
    assert state <= EVENTS // 2
    assert missing(store_url, EVENTS) == {"letters": 0, "keys": 0, "delivered": 0}
    assert len(server.delivered) == EVENTS - len(BAD)
