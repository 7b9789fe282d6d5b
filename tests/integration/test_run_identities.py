"""Maps that identify nobody: misspelled paths, columns of names, and what a run says of them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from integration_support import WITH_ID, numbered, order, schema, state
from preset_records import changed, sample

from target_liveintent.mapping.presets import PRESETS, preset_text

if TYPE_CHECKING:
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

MAP = {"event_id": "event_id", "event_time": "event_time", "__else__": "__NULL__"}
BOOKING = ("id", "event_id", "event_time", "guest_mail", "guest_name", "click")
DID = "6d92078a-8246-4ba4-ae5b-76104861e7dc"


def bookings(count: int, **columns: Any) -> list[dict[str, Any]]:
    """Return a hotel's bookings, each of a guest with a name, an address and a decision ID."""
    return [
        schema("bookings", BOOKING),
        *(
            order(
                n,
                "bookings",
                **{
                    "event_id": f"b-{n}",
                    "guest_mail": f"guest{n}@example.com",
                    "guest_name": f"Ann Smith {n}",
                    "click": DID,
                    "email": ...,
                    **columns,
                },
            )
            for n in range(count)
        ),
        state(1),
    ]


def test_a_misspelled_path(target: Launcher, sandbox: Sandbox) -> None:
    """It is warned of when the SCHEMA comes, once, and at the end, as no event has a hash."""
    opening, *others = bookings(60)
    wider = schema("bookings", (*BOOKING, "room"))
    maps = {**MAP, "email": "get('guest_mial')", "decision_id": "click"}
    run = target.run(opening, opening, wider, *others, stream_maps={"bookings": maps})
    assert (run.code, sandbox.stats.accepted) == (0, 60)
    assert run.warnings == [
        (
            "in the map of 'bookings', 'email' reads 'guest_mial', which is not in the tap's"
            " SCHEMA; did you mean 'guest_mail'?"
        ),
        (
            "bookings: in 60 of 60 events, the column email did not identify a person (60 empty, 0"
            " unusable). Check what is mapped to email"
        ),
    ]


def test_a_column_of_names(target: Launcher, sandbox: Sandbox) -> None:
    """What is no address is warned of at the end, and the advice looks for no guests."""
    maps = {"bookings": {**MAP, "email": "guest_name"}}
    run = target.run(*bookings(60), stream_maps=maps)
    assert (run.code, sandbox.stats.accepted) == (0, 0)
    (warned,) = run.warnings
    assert warned.startswith(
        "bookings: in 60 of 60 events, the column email did not identify a person (0 empty, 60"
        " unusable). "
    )
    (advice,) = [line for line in run.log.splitlines() if "no_identity 60: " in line]
    assert advice.endswith(
        "In stream bookings, almost no event has a usable value in email: check what is mapped to"
        " email."
    )
    assert "Guests" not in run.log
    assert "Ann" not in run.log


def test_a_stream_without_an_address(target: Launcher) -> None:
    """Where no e-mail column is mapped, the advice says so."""
    maps = {"bookings": {**MAP, "decision_id": "click"}}
    run = target.run(*bookings(3, click=None), stream_maps=maps, report_path="report.html")
    said = "No e-mail address is mapped in stream bookings: map email, md5 or sha2."
    assert (run.code, run.warnings) == (0, [])
    assert said in run.log
    assert "Guests" not in run.log
    report = json.loads((target.folder / "report.json").read_text())
    assert [one["what_to_do"].endswith(said) for one in report["not_sent"]] == [True]


def test_guests(target: Launcher) -> None:
    """Where some have an address, the others are guests, and no warning says otherwise."""
    guests = [order(n, event_id=f"g-{n}", email=None) for n in range(100, 190)]
    run = target.run(schema(columns=WITH_ID), *numbered(10), *guests, state(1))
    assert (run.code, run.warnings) == (0, [])
    assert "no_identity 90: " in run.log
    assert "Guest orders often have none" in run.log


@pytest.mark.parametrize("is_pasted", [False, True])
@pytest.mark.parametrize("name", PRESETS)
def test_presets(target: Launcher, sandbox: Sandbox, name: str, is_pasted: bool) -> None:
    """A preset over its tap's records is no reason to warn, by name and pasted."""
    of = sample(name, time.time())
    records = [changed(of.record, {of.keys[0]: f"{n}"}) for n in range(60)]
    rows = [{"type": "RECORD", "stream": of.stream, "record": one} for one in records]
    settings = {"presets": {of.stream: name}}
    if is_pasted:
        settings = yaml.safe_load(preset_text(name))
    opening = schema(of.stream, of.record, of.keys)
    run = target.run(opening, *rows, state(1), default_source=..., **settings)
    assert (run.code, sandbox.stats.accepted) == (0, 60)
    assert run.warnings == []


def test_explain(target: Launcher) -> None:
    """It names misspelled paths, those of presets as such, and what to do for an identity."""
    opening, *others = bookings(12)
    maps = {"bookings": {**MAP, "email": "get('guest_mial')"}}
    run = target.command(
        *("--config", str(target.config(stream_maps=maps)), "--explain"), forks=target.forks
    )
    run.send(opening, *others).close_input().wait()
    assert run.code == 0
    assert (
        "  'email' reads 'guest_mial', which is not in the tap's SCHEMA; did you mean" in run.stdout
    )
    no_identity = "    The record has no usable e-mail address, e-mail hash or decision ID."
    assert f"{no_identity} In stream bookings, almost no " in run.stdout
    config = target.config(presets={"bookings": "postgres_orders"})
    run = target.command("--config", str(config), "--explain", forks=target.forks)
    run.send(opening).close_input().wait()
    (said,) = [line for line in run.stdout.splitlines() if "'customer_email', which" in line]
    assert said.endswith("? (The preset reads this column only if it exists.)")
