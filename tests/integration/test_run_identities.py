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
