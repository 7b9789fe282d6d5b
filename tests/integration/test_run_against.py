"""`explain --against` foretells what a run with another configuration sends."""

import json
from collections import Counter
from typing import Any

import pytest
from integration_support import TOKEN, Launcher, Running, order, orders, schema, state

from target_liveintent.sandbox import Sandbox

OWN = {
    "event_id": "str(id)",
    "event_time": "event_time",
    "email": "email",
    "value": "value",
    "currency": "currency",
    "__else__": None,
}
MESSAGES = [schema(), *orders(40), *orders(10, value=99), state(1)]
"""The messages of forty orders, ten of which come again with another value."""


def map_of(**changes: Any) -> dict[str, Any]:
    return {"stream_maps": {"orders": {**OWN, **changes}}}


def arrivals(sandbox: Sandbox) -> Counter[str]:
    """Return how often the conversion of each buyer has arrived, whatever its event ID is."""
    return Counter(event["userData"]["sha2"] for event in sandbox.events)


def against(target: Launcher, messages: list[Any], new: dict[str, Any], **old: Any) -> Running:
    """Compare two configurations, given the changes of the usual settings."""
    target.config(**new).rename(target.folder / "new.json")
    return target.explain(*messages, options=("--against", "new.json", "--format=json"), **old)


OLD = map_of(__filter__="id < 36")
OTHER_IDS = "'o-' + str(id) if id < 12 else str(id)"
# The new settings, and how many events both send, are gained, and change their ID. (Of the old
# configuration, there are 36.)
CHANGES: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "IDs of some events": (map_of(event_id=OTHER_IDS, __filter__="id < 36"), (36, 0, 12)),
    "IDs and a filter": (map_of(event_id=OTHER_IDS), (40, 4, 12)),
    "the pixel": ({**OLD, "pixel_id": 999}, (36, 0, 36)),
    "a filter": (map_of(__filter__="id > 1"), (38, 4, 0)),
    "a value": (map_of(__filter__="id < 36", value="value * 100"), (36, 0, 0)),
    "derived IDs": (map_of(event_id=None, __alias__="shop"), (40, 4, 36)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_sends_what_was_foretold(target: Launcher, sandbox: Sandbox, name: str) -> None:
    """Events whose ID changes arrive twice, those that are gained once, and no others."""
    new, (would_send, gained, changed) = CHANGES[name]
    run = target.run(*MESSAGES, **OLD)
    assert (run.code, sandbox.stats.accepted) == (0, 36)
    first, store = arrivals(sandbox), target.store_files
    foretold = against(target, MESSAGES, new, **OLD)
    assert foretold.code == (1 if changed else 0), foretold.log
    stream = json.loads(foretold.stdout)["streams"]["orders"]
    assert stream["events"] == [36, would_send]
    assert (stream["gained"], stream["changed_ids"]) == (gained, changed)
    assert stream["already_delivered"] == changed
    assert (target.store_files, sandbox.stats.accepted) == (store, 36)
    run = target.run(*MESSAGES, **new)
    assert (run.code, sandbox.stats.accepted) == (0, 36 + gained + changed)
    both = arrivals(sandbox)
    assert sum(count == 2 for count in both.values()) == changed
    assert sum(both[person] == 1 for person in both.keys() - first.keys()) == gained
    assert max(both.values()) <= 2


def test_before_the_first_run(target: Launcher, sandbox: Sandbox) -> None:
    """Without a store, nobody knows what was delivered, and the command creates none."""
    run = against(target, MESSAGES, map_of(event_id="'o-' + str(id)"), **map_of())
    stream = json.loads(run.stdout)["streams"]["orders"]
    assert (run.code, stream["changed_ids"], stream["already_delivered"]) == (1, 40, None)
    assert (target.store.exists(), sandbox.stats.requests) == (False, 0)


def test_only_some_were_delivered(target: Launcher) -> None:
    """Those that the first configuration has delivered to its own pixel count."""
    assert target.run(schema(), *orders(5), **map_of()).code == 0
    assert target.run(schema(), *orders(20), **map_of(), pixel_id=999).code == 0
    run = against(target, MESSAGES, map_of(event_id="'o-' + str(id)"), **map_of())
    stream = json.loads(run.stdout)["streams"]["orders"]
    assert (stream["changed_ids"], stream["already_delivered"]) == (40, 5)


def test_the_environment_has_no_effect(target: Launcher) -> None:
    """Each configuration counts as it is in its file; no token is needed."""
    variables = {
        "TARGET_LIVEINTENT_PIXEL_ID": "777",
        "TARGET_LIVEINTENT_AUTH_TOKEN": "not usable",
        "TARGET_LIVEINTENT_CUSTOMER_ID": "?",
        "TARGET_LIVEINTENT_PIXELID": "7",
    }
    new = {**map_of(), "auth_token": ...}
    run = against(target, MESSAGES, new, **map_of(), auth_token=..., env=variables)
    assert (run.code, run.log) == (0, "")
    stream = json.loads(run.stdout)["streams"]["orders"]
    assert (stream["events"], stream["changed_ids"], stream["changed"]) == ([40, 40], 0, {})
    assert json.loads(run.stdout)["notes"] == []


def test_a_wrong_configuration(target: Launcher) -> None:
    """The exit code is 2, also for a wrong input, because 1 means that event IDs change."""
    run = against(target, MESSAGES, {**map_of(), "pixel_id": TOKEN}, **map_of())
    assert (run.code, run.stdout) == (2, "")
    assert run.last_line.startswith("--against new.json: setting 'pixel_id' must be an integer")
    assert TOKEN not in run.log
    run = against(target, MESSAGES, map_of(), **map_of(), customer_id=...)
    assert run.code == 2
    assert run.last_line.startswith("--config: setting 'customer_id' is required")
    run = against(target, [*MESSAGES, "no JSON"], map_of(event_id="'x' + str(id)"), **map_of())
    assert (run.code, run.stdout) == (2, "")
    assert run.last_line.startswith("line 53 of the input: ")
    run = against(target, [order(1)], map_of(), **map_of())
    assert (run.code, run.stdout) == (2, "")


def test_the_text(target: Launcher) -> None:
    """The first line says what matters; no token and no address is shown."""
    assert target.run(*MESSAGES, **map_of()).code == 0
    target.config(**map_of(event_id="email")).rename(target.folder / "new.json")
    run = target.explain(*MESSAGES, options=("--against", "new.json"), **map_of())
    assert run.code == 1
    assert run.out[0].strip() == (
        "40 of 40 event IDs change: they would be sent again, 40 of them were already delivered."
    )
    assert "example.com" not in run.stdout + run.log
    assert TOKEN not in run.stdout + run.log
