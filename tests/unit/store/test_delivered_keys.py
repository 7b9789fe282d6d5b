"""Which events a store knows as delivered, for a command that sends nothing."""

import pytest
from store_support import LATER, Stores, event, events, send

from target_liveintent.conversions.event_model import Conversion
from target_liveintent.store import deduplication
from target_liveintent.store.deduplication import Deduplicator
from target_liveintent.store.delivered_keys import DeliveredKeys


def known(stores: Stores, *conversions: Conversion, **account: str) -> list[str]:
    """Return the IDs of the events that the store knows for an account."""
    settings = stores.settings(**account)
    keys = Deduplicator(settings.account).keys_of(conversions)
    delivered = DeliveredKeys(stores.database()).among(keys)
    pairs = zip(conversions, keys, strict=True)
    return [conversion.event_id for conversion, key in pairs if key in delivered]


def test_delivered_events(stores: Stores) -> None:
    """They belong to their account, their pixel and their stream."""
    assert known(stores, *events(3)) == []
    send(stores(), 0, *events(3))
    assert known(stores, *events(1, 5)) == ["1", "2"]
    assert known(stores) == []
    assert known(stores, *events(3), customer_id="b-2c3d") == []
    assert known(stores, event("1", pixel_id=2), event("1", stream="leads")) == []


def test_events_whose_time_changes(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a run, only the newest are recognized."""
    send(stores(), 0, event("old", expires_at=LATER), event("new", expires_at=LATER + 5))
    changed = [event(name, expires_at=LATER + 60) for name in ("old", "new")]
    assert known(stores, *changed) == ["old", "new"]
    monkeypatch.setattr(deduplication, "RECENT", 1)
    assert known(stores, *changed) == ["new"]
    assert known(stores, event("old", expires_at=LATER)) == ["old"]
