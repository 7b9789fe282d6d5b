"""Events that the API refuses keep neither a replay nor a later run from its good events."""

from collections.abc import Callable, Sequence

import pytest
from faulty_server import FaultyServer, Reply, Request
from integration_support import (
    WITH_ID,
    Launcher,
    Running,
    dead_letter,
    numbered,
    schema,
    state,
)

AT_ONCE = 32
"""Events of a batch. So a few letters are as many batches as thousands are otherwise."""
WHAT_TO_DO = "The summary at the end of the log says what to do"


def answer(request: Request) -> Reply:
    """Refuse what is bad."""
    is_bad = any("bad" in event_id for event_id in request.ids)
    return Reply(400, b"no such currency", skipped=None) if is_bad else Reply()


def put(to_server: Launcher, kinds: Sequence[str], reason: str) -> None:
    """Put letters into the store, to be replayed in this order."""
    names = [f"{place:05}-{kind}" for place, kind in enumerate(kinds)]
    to_server.put_letters(*(dead_letter(name, reason=reason) for name in names))


def read(to_server: Launcher, *kinds: str) -> Running:
    """Read an order of each kind, and then a STATE."""
    orders = numbered(len(kinds))
    for order, kind in zip(orders, kinds, strict=True):
        order["record"]["event_id"] += kind
    return to_server.run(schema(columns=WITH_ID), *orders, state({"read": len(kinds)}))


# A replay

BAD, GOOD = ["bad"] * 48 * AT_ONCE, ["good"] * AT_ONCE
MOST_REQUESTS = 3 * (200 + 3 * 49 + 64)
"""However slow the machine is, a replay of these letters makes fewer requests. Before the good
batch is found, there are at most 200 refusals, 3 samples of each of 49 batches, and 64 requests in
flight. Then, twice as many refusals may follow."""


@pytest.mark.parametrize(
    ("kinds", "reason"),
    [
        pytest.param([*BAD, *GOOD], "invalid_source", id="bad first"),
        pytest.param([*GOOD, *BAD], "invalid_source", id="good first"),
        pytest.param(
            [*BAD[: 24 * AT_ONCE], *GOOD, *BAD[24 * AT_ONCE :]],
            "invalid_source",
            id="between bad ones",
        ),
        pytest.param([*BAD, *GOOD], "refused_by_api", id="refused before"),
    ],
)
def test_a_replay_passes_bad_letters(
    to_server: Launcher, server: FaultyServer, kinds: Sequence[str], reason: str
) -> None:
    """It sends all good ones with few requests, and says how many letters stay, and why."""
    server.answer = answer
    put(to_server, kinds, reason)
    run = to_server.ask("replay", batch_size_rows=AT_ONCE)
    assert run.code == 0, run.log
    assert len(set(server.accepted)) == len(server.accepted) == len(GOOD)
    assert len(server.requests) < MOST_REQUESTS < len(BAD)  # So not each bad one is sent alone.
    total = run.summary["total"]
    stays = total.not_replayed
    assert (total.delivered, total.reasons["refused_by_api"] + stays) == (len(GOOD), len(BAD))
    assert stays > 0
    stay = f"liveintent_dead_letters: {stays:,} of {len(kinds):,} records not delivered"
    assert f"{stay} because of not_tried. {WHAT_TO_DO}" in run.log
    assert f"not_tried {stays}: The API refused so many events that the replay" in run.log
    assert len(to_server.letters) == len(BAD)


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(lambda place: place < 150, id="bad first"),
        pytest.param(lambda place: place >= 90, id="good first"),
        pytest.param(lambda place: place % 8 < 5, id="mixed"),
    ],
)
def test_a_replay_of_a_few_batches(
    to_server: Launcher, server: FaultyServer, order: Callable[[int], bool]
) -> None:
    """It finds each good letter among more bad ones, in any order."""
    server.answer = answer
    put(to_server, ["bad" if order(place) else "good" for place in range(240)], "invalid_source")
    run = to_server.ask("replay")
    assert (run.code, len(server.accepted)) == (0, 90), run.log
    total = run.summary["total"]
    assert total.reasons["refused_by_api"] + total.not_replayed == len(to_server.letters) == 150


def test_a_replay_of_letters_that_were_refused_before(
    to_server: Launcher, server: FaultyServer
) -> None:
    """It shows nothing new, so it ends well; of other letters, it may be the settings."""
    server.answer = answer
    put(to_server, ["bad"] * 120, "invalid_source")
    run = to_server.ask("replay")
    assert run.code == 1
    assert "refused 120 events that it had not refused before" in run.last_line
    run = to_server.ask("replay")
    assert (run.code, run.summary["total"].reasons) == (0, {"refused_by_api": 120})


# The next run reads the same events

ALL = (*["good"] * 200, *["bad"] * 31)


def test_reading_again_ends(to_server: Launcher, server: FaultyServer) -> None:
    """What was sent or refused before needs no new proof, and withholds no STATE."""
    server.answer = answer
    for letters in range(2):
        run = read(to_server, *ALL)
        assert (run.code, run.states) == (0, [{"read": 231}]), run.log
        reasons = {"refused_by_api": 31}
        total = run.summary["total"]
        assert (total.reasons, total.drops) == (reasons, {"already_sent": 200} if letters else {})
    assert len(server.accepted) == 200
    server.answer = lambda _: Reply()
    run = read(to_server, *ALL)
    assert (run.code, run.summary["total"].delivered, to_server.letters) == (0, 31, {})


@pytest.mark.parametrize("before", [(), ALL], ids=["nothing else", "others refused before"])
def test_events_that_are_new_need_a_proof(
    to_server: Launcher, server: FaultyServer, before: Sequence[str]
) -> None:
    """A pixel that has died is noticed, although earlier events were delivered or refused."""
    server.answer = answer
    if before:
        assert read(to_server, *before).code == 0
    run = read(to_server, *before, *["bad"] * 10)
    assert (run.code, run.states) == (1, [])
    assert "The cause may be in the settings" in run.last_line
    assert len(to_server.letters) == before.count("bad")
    assert read(to_server, *before, *["bad"] * 9).code == 0
    assert len(to_server.letters) == before.count("bad") + 9
