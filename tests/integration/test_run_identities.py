"""Maps that identify nobody: misspelled paths, columns of names, and what a run says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration_support import order, schema, state

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
    assert warned == (
        'bookings: email is left out of 60 of 60 events: "x x 99" is neither an e-mail address nor'
        " a hash of one. Check what is mapped to email"
    )
    (advice,) = [line for line in run.log.splitlines() if "no_identity 60: " in line]
    assert advice.endswith(
        "In stream bookings, almost no event has a usable value in email: check what is mapped to"
        " email."
    )
    assert "Guests" not in run.log
    assert "Ann" not in run.log


def test_explain(target: Launcher) -> None:
    """It names misspelled paths, those of presets as such, and what to do for an identity."""
    maps = {"bookings": {**MAP, "email": "get('guest_mial')"}}
    run = target.explain(*bookings(12), stream_maps=maps)
    assert run.code == 0
    assert (
        "  'email' reads 'guest_mial', which is not in the tap's SCHEMA; did you mean" in run.stdout
    )
    no_identity = "    The record has no usable e-mail address, e-mail hash or decision ID."
    assert f"{no_identity} In stream bookings, almost no " in run.stdout
    run = target.explain(schema("bookings", BOOKING), presets={"bookings": "postgres_orders"})
    (said,) = [line for line in run.stdout.splitlines() if "'customer_email', which" in line]
    assert said.endswith("? (The preset reads this column only if it exists.)")
