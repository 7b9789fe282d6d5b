"""What a user should know about the store before a run sends anything."""

from __future__ import annotations

from collections.abc import Iterator

from target_liveintent.conversions.amounts import counted
from target_liveintent.run.kinds import RunKind
from target_liveintent.settings import Settings
from target_liveintent.store.places import ARRIVED, places_in
from target_liveintent.store.run_store import RunStore


def warnings_at_start(
    store: RunStore, settings: Settings, kind: RunKind, now: float
) -> Iterator[str]:
    """Yield what a user should know about the store before a run of a kind sends anything."""
    if store.database.was_empty_file:  # (Others create such a file first, to set its mode.)
        yield (
            f"the file of the store, '{settings.store}', exists but is empty, so the run begins a"
            " new store. If the file had content before, stop this run and restore a backup."
            " Otherwise the run sends all events of the input again"
        )
    if store.expired_letters:
        yield (
            f"{counted(store.expired_letters, 'dead letter')} older than history_days"
            f" ({settings.history_days}) were deleted from the store"
        )
    if store.former is None or not kind.reads_source:
        return
    customer_id, pixel_id = store.former
    account = settings.account._replace(customer_id=customer_id)
    rows = places_in(store.database, account, pixel_id, 0, now)
    sent = sum(row.events for row in rows if row.place == ARRIVED)
    if sent:
        yield (
            f"this is the first run for customer ID {settings.customer_id} and pixel"
            f" {settings.pixel_id}. Earlier runs with this store sent {counted(sent, 'event')} for"
            f" customer ID {customer_id} and pixel {pixel_id}. This run sends these events again if"
            " the input has them. If you changed customer_id or pixel_id by mistake, stop this run"
        )
