"""What a user should know about the store before a run sends anything."""

from __future__ import annotations

from collections.abc import Iterator

from target_liveintent.conversions.amounts import counted
from target_liveintent.run.kinds import RunKind
from target_liveintent.settings import StoreSettings
from target_liveintent.store.places import ARRIVED, places_in
from target_liveintent.store.run_store import RunStore


def warnings_at_start(
    store: RunStore, settings: StoreSettings, kind: RunKind, now: float
) -> Iterator[str]:
    """Yield what a user should know about the store before a run of a kind sends anything."""
    if store.database.was_empty_file:  # (A user may have created it, to set its mode.)
        yield (
            f"the file of the store, '{settings.place}', exists but is empty, so the run begins a"
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
    account, (customer_id, pixel_id) = settings.account, store.former
    former = account._replace(customer_id=customer_id)
    rows = places_in(store.database, former, pixel_id, 0, now)
    sent = sum(row.events for row in rows if row.place == ARRIVED)
    if sent:
        pixel = settings.events.pixel_id
        yield (
            f"this is the first run for customer ID {account.customer_id} and pixel {pixel}."
            f" Earlier runs with this store sent {counted(sent, 'event')} for customer ID"
            f" {customer_id} and pixel {pixel_id}. This run sends these events again if the input"
            " has them. If you changed customer_id or pixel_id by mistake, stop this run"
        )
