"""The event as the API accepts it, the greatest age of an event, and the result of a record.

The result of a record is a `Conversion` or a `Rejection`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from target_liveintent.failures import Failure, FailureCode
from target_liveintent.privacy.identity import Identity
from target_liveintent.remarks import Remarks

DEAD_LETTERS = "liveintent_dead_letters"
"""The name of the stream of dead letters, which the command `replay` reads."""
DAY = 86_400
WINDOWS = {"web": 7 * DAY, "app": 7 * DAY, "offline": 30 * DAY}
"""The greatest age, in seconds, at which an event of each source may be sent. The windows come from
LiveIntent's guide."""
MARGIN = 60
"""An event counts as too old from this number of seconds before the end of its window. An event
time may be ahead of this machine's clock by at most the same number of seconds."""

# A Decimal is written as a JSON number with all of its digits.
_encode: Callable[[Any], bytes] = msgspec.json.Encoder(decimal_format="number").encode


class UserData(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The object `userData` of an event. Each member has the name of a column."""

    md5: str | None = None
    sha2: str | None = None
    ip: str | None = None
    user_agent: str | None = msgspec.field(default=None, name="ua")
    idfa: str | None = None
    aaid: str | None = None
    tracking_enabled: int | None = msgspec.field(default=None, name="trackingEnabled")


class PurchaseData(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename="camel"):
    """The object `purchaseData` of an event. Each member has the name of a column."""

    currency: str | None = None
    value: float | Decimal | None = None
    order_id: str | None = None
    source_url: str | None = None
    app_bundle: str | None = None


class Event(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename="camel"):
    """An event as it is sent. The JSON has the members in the same order."""

    event_id: str
    event_time: int
    pixel_id: int
    source: str
    user_data: UserData
    purchase_data: PurchaseData
    decision_id: str | None = None


def fingerprint(event: Event) -> int:
    """Return a number below 4,096 that depends on the person, the order and the value of an event.

    Within a process, equal events have the same number. Different events have the same number in
    one of 4,096 cases, so a comparison may miss a difference. The store remembers the numbers of
    thousands of events. To save memory, each number is always the same Python object.
    """
    user, purchase = event.user_data, event.purchase_data
    person = user.md5 or user.sha2 or event.decision_id
    # (Hashing a Decimal takes longer than everything else here.)
    value = None if purchase.value is None else float(purchase.value)
    return _SHARED[hash((person, value, purchase.currency, purchase.order_id)) % len(_SHARED)]


_SHARED = tuple(range(4_096))


def event_of(values: Mapping[str, Any]) -> Event:
    """Return an event with these values of columns. Absent columns are not sent."""

    def of(struct: type[msgspec.Struct]) -> dict[str, Any]:
        return {name: values[name] for name in struct.__struct_fields__ if name in values}

    user, purchase = UserData(**of(UserData)), PurchaseData(**of(PurchaseData))
    return Event(**of(Event), user_data=user, purchase_data=purchase)


def person_columns(
    md5: str | None, sha2: str | None, others: tuple[bytes, ...] | None
) -> dict[str, Any]:
    """Return the columns of a dead letter that identify the person: `md5`, `sha2`, `all_hashes`.

    `all_hashes` has all hashes by which a suppression list may name the person, so that a replay
    finds people who are listed later. Because `all_hashes` includes `md5` and `sha2`, a replay
    notices an edit of these two columns. `all_hashes` is None if `others` is None.
    """
    known = None if others is None else Identity(md5, sha2, others=others).hashes
    return {"md5": md5, "sha2": sha2, "all_hashes": known}


class LetterKey(NamedTuple):
    """The key of a dead letter in the store."""

    customer_id: str
    api_host: str
    stream: str
    event_id: str  # A hash of the record if the record has no ID.
    pixel_id: int  # 0 if the record has no usable pixel ID.


class Conversion(msgspec.Struct, frozen=True, gc=False):
    """An event that is ready to be sent.

    `columns` has the mapped columns for a dead letter, without the address and the hashes.
    `other_hashes` has the person's hashes that the event does not contain, or None if these hashes
    are unknown.
    """

    stream: str  # The tap's name of the stream.
    event: Event
    expires_at: int  # Unix time from which on the event is too old to be sent.
    columns: dict[str, Any]
    other_hashes: tuple[bytes, ...] | None = ()
    remarks: Remarks = ()
    letter: LetterKey | None = None  # The dead letter from which a replay made the conversion.
    was_refused: bool = False  # Whether a dead letter says that the API refused the event before.

    @property
    def event_id(self) -> str:
        """The ID of the event."""
        return self.event.event_id

    @property
    def body(self) -> bytes:
        """The JSON of the event in UTF-8."""
        return _encode(self.event)

    def too_old(self) -> Rejection:
        """Return the rejection of an event that the API no longer accepts because of its age.

        `EventBuilder` does not reject old records. If the event was delivered before, its age does
        not matter, and only the store knows whether the event was delivered.
        """
        return self.rejected("event_too_old", "event_time", None)

    def rejected(self, reason: str, field: str | None, detail: str | None) -> Rejection:
        """Return the rejection of a conversion that cannot be sent after all.

        `reason` is a code of `reasons.REASONS`, and `field` is the column at fault.
        """
        user = self.event.user_data
        columns = self.columns | person_columns(user.md5, user.sha2, self.other_hashes)
        return Rejection(
            self.stream,
            self.event_id,
            reason,
            field,
            columns,
            detail,
            letter=self.letter,
            was_refused=self.was_refused,
        )


class Rejection(msgspec.Struct, frozen=True):
    """A record that cannot be sent."""

    stream: str
    event_id: str  # The ID from the record, or a derived ID. A replay keeps the ID.
    reason: str  # A code of `reasons.REASONS`.
    field: str | None  # The column at fault.
    columns: dict[str, Any]  # The columns of the dead letter, with hashes in place of the address.
    detail: str | None = None  # Facts about the reason, without addresses.
    keys: dict[str, Any] | None = None  # The tap's key properties, if the columns are not known.
    letter: LetterKey | None = None  # The dead letter that a replay could not send.
    remarks: Remarks = ()
    was_refused: bool = False  # Whether a dead letter says that the API refused the event before.

    @property
    def failure(self) -> Failure:
        """The failure of a run that ends at the first rejection."""
        return Failure.of(
            FailureCode.RECORD_REJECTED,
            stream=self.stream,
            event_id=self.event_id,
            column=self.field,
            reason=self.reason,
            detail=self.detail,
        )


def request_body(conversions: Iterable[Conversion]) -> bytes:
    """Return the JSON array of events that a request sends."""
    return _encode([conversion.event for conversion in conversions])
