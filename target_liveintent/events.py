"""A mapped record in, a conversion or a rejection out.

`EventBuilder` is made once for each stream, when its SCHEMA arrives: it resolves which columns
there are, so that a record costs no look-ups by name that cannot succeed. Everything here is pure;
the clock is an argument.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from target_liveintent import coerce, urls
from target_liveintent.coerce import UNUSABLE
from target_liveintent.identity import (
    NORMALIZATIONS,
    Identity,
    derive_event_id,
    holds_address,
    identify,
    pseudonym,
    scrub,
)
from target_liveintent.wire import ConversionEvent, compile_details, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from target_liveintent.suppression import Suppressions

DEAD_LETTERS = "liveintent_dead_letters"
"""The stream of dead letters; stream maps never touch it."""
DAY = 86_400
WINDOWS = {"web": 7 * DAY, "app": 7 * DAY, "offline": 30 * DAY}
"""Seconds before sending in which an event must have happened. Source: LiveIntent's guide."""
MARGIN = 60
"""Seconds by which events are cut inside the window, and clock skew that is forgiven."""


class Column(NamedTuple):
    """A column of a mapped record.

    Attributes:
        name: Its name in stream maps and dead letters.
        path: The API's own spelling, which is accepted as well; empty for `email`, which never
            leaves the machine.
        meaning: For the README.
    """

    name: str
    path: tuple[str, ...]
    meaning: str


COLUMNS = (
    Column(
        "event_id",
        ("eventId",),
        "Your own ID of the conversion. Derived from stream and key properties where absent.",
    ),
    Column(
        "event_time",
        ("eventTime",),
        "When it happened: ISO 8601, or Unix seconds, milliseconds, microseconds. Required.",
    ),
    Column("pixel_id", ("pixelId",), "Integer; the setting `pixel_id` where the record has none."),
    Column(
        "source",
        ("source",),
        "`web`, `app` or `offline`; the setting `default_source` where the record has none.",
    ),
    Column(
        "decision_id",
        ("decisionId",),
        "LiveIntent's decision ID; else, without an e-mail, the `li_did` of `source_url`.",
    ),
    Column("email", (), "Address or hash. An address is normalised and hashed here, never sent."),
    Column("md5", ("userData", "md5"), "MD5 of the normalised address."),
    Column("sha2", ("userData", "sha2"), "SHA-256 of the normalised address."),
    Column("ip", ("userData", "ip"), "IPv4 or IPv6 address of the buyer."),
    Column("user_agent", ("userData", "ua"), "The buyer's browser."),
    Column("idfa", ("userData", "idfa"), "Apple's advertising ID, a UUID."),
    Column("aaid", ("userData", "aaid"), "Android's advertising ID, a UUID."),
    Column("tracking_enabled", ("userData", "trackingEnabled"), "Boolean, or 0 and 1."),
    Column("currency", ("purchaseData", "currency"), "Three letters, such as `USD`."),
    Column("value", ("purchaseData", "value"), "The amount: `87.28`, `$12.50`, `1,234.50`."),
    Column("order_id", ("purchaseData", "orderId"), "Your order number."),
    Column(
        "source_url", ("purchaseData", "sourceUrl"), "The page of the conversion or of the landing."
    ),
    Column("app_bundle", ("purchaseData", "appBundle"), "The app's bundle ID."),
    Column(
        "consent",
        (),
        "Never sent. Where a stream has it, only true, 1, `yes` and `granted` let a record go.",
    ),
)
READ_COLUMNS = frozenset(
    place[0] for column in COLUMNS for place in ((column.name,), column.path) if place
)
"""The columns of a mapped record that are looked at, in both spellings."""
_DEEPEST = 50
"""Levels of nesting that a letter shows."""
_IDENTITY_COLUMNS = ("email", "md5", "sha2")
_ABSENT = (None,) * len(_IDENTITY_COLUMNS)
_IDENTITY_SOURCES = (*_IDENTITY_COLUMNS, "decision_id", "source_url")


class Conversion(msgspec.Struct, frozen=True, gc=False):
    """An event that is ready to be sent.

    Attributes:
        stream: The tap's name of the stream that it came from.
        event_id: The ID under which the API may name it.
        pixel_id: The pixel that it belongs to.
        expires_at: Unix time from which on it is too old to be sent.
        body: The event's JSON.
        columns: What was mapped, for a dead letter, but for what the identity was made of.
        identity: Who it is about.
    """

    stream: str
    event_id: str
    pixel_id: int
    expires_at: int
    body: bytes
    columns: dict[str, Any]
    identity: Identity = Identity(None, None)

    def rejected(self, reason: str, field: str | None, detail: str | None) -> Rejection:
        """The same as the fate of a record that cannot be sent after all."""
        columns = _with_hashes(self.columns, self.identity)
        return Rejection(self.stream, self.event_id, reason, field, columns, detail)


class Rejection(msgspec.Struct, frozen=True):
    """A record that cannot be sent.

    Attributes:
        stream: The tap's name of the stream that it came from.
        event_id: Its ID; derived where the record has none, so that a replay keeps it.
        reason: A code of `reasons.REASONS`.
        field: The column at fault, if it is one.
        columns: What was mapped, for the dead letter; hashes in place of the address.
        detail: What else is known, without addresses.
        keys: The tap's key properties, where the columns are not known.
    """

    stream: str
    event_id: str
    reason: str
    field: str | None
    columns: dict[str, Any]
    detail: str | None = None
    keys: dict[str, Any] | None = None


class Defaults(NamedTuple):
    """What the settings say about events.

    Attributes:
        pixel_id: Where the record has none.
        source: Where the record has none.
        zone: The zone of times without one.
        normalization: A key of `NORMALIZATIONS`.
    """

    pixel_id: int | None
    source: str | None
    zone: dt.tzinfo
    normalization: str


class _NoEvent(Exception):  # noqa: N818 (an early way out, not an error)
    """Leaves the builder's steps early; it never leaves the builder."""

    def __init__(self, reason: str, field: str | None, detail: str | None = None) -> None:
        """Say why, and which column is at fault."""
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.detail = detail


def missing_columns(properties: Iterable[str], defaults: Defaults) -> list[str]:
    """What a stream lacks to ever give an event.

    Args:
        properties: The names of its columns after mapping.
        defaults: What the settings fill in.

    Returns:
        One phrase for each thing that is missing; empty if events can come of it.
    """
    there = set(_resolve(properties))
    missing = []
    if "event_time" not in there:
        missing.append("event_time")
    if there.isdisjoint(_IDENTITY_SOURCES):
        missing.append("one of " + ", ".join(_IDENTITY_SOURCES))
    if "pixel_id" not in there and defaults.pixel_id is None:
        missing.append(_LACKS_PIXEL)
    if "source" not in there and defaults.source is None:
        missing.append(_LACKS_SOURCE)
    return missing


_LACKS_PIXEL = "pixel_id (column or setting)"
_LACKS_SOURCE = "source (column, or the setting default_source)"
GIVEN_BY_SETTINGS = {_LACKS_PIXEL: "pixel_id", _LACKS_SOURCE: "default_source"}
"""What of that a setting can give, and which."""


def never_an_event(stream: str, missing: Iterable[str]) -> str:
    """Why a stream can never give an event, in a sentence.

    Args:
        stream: The stream's name.
        missing: What `missing_columns` says.
    """
    return f"stream '{stream}' can never give an event: it lacks {'; '.join(missing)}."


def _resolve(properties: Iterable[str]) -> dict[str, tuple[tuple[str, ...], ...]]:
    """For each column that the stream has, the places to look, ours before the API's spelling."""
    there = set(properties)
    found = {
        column.name: tuple(
            place for place in ((column.name,), column.path) if place and place[0] in there
        )
        for column in COLUMNS
    }
    # `source` is spelled the same in both ways.
    return {name: tuple(dict.fromkeys(places)) for name, places in found.items() if places}


class EventBuilder:
    """Builds the conversions of one stream.

    Args:
        stream: The tap's name of the stream: derived event IDs depend on it.
        properties: The names of the columns after mapping.
        key_properties: The tap's key properties, looked up in the record before mapping.
        defaults: What the settings say.
        suppressions: Whom not to send.
    """

    def __init__(
        self,
        stream: str,
        properties: Iterable[str],
        key_properties: Sequence[str],
        defaults: Defaults,
        suppressions: Suppressions | None = None,
    ) -> None:
        """Resolve the columns once."""
        self._stream = stream
        self._keys = tuple(key_properties)
        self._defaults = defaults
        self._normalize = NORMALIZATIONS[defaults.normalization]
        self._suppressions = suppressions
        places = _resolve(properties)
        self._own = frozenset(name for name, found in places.items() if (name,) in found)
        # A letter's SCHEMA has all columns, its record only those that said something.
        self._told_if_empty = frozenset() if stream == DEAD_LETTERS else self._own
        self._elsewhere = tuple(
            (name, found) for name, found in places.items() if found != ((name,),)
        )
        self._identifying = tuple(name for name in _IDENTITY_COLUMNS if name in places)
        self._pixel_id = None if "pixel_id" in places else defaults.pixel_id
        self._source = None if "source" in places else defaults.source
        self._details = compile_details(places, self._look_again)
        self._has_consent = "consent" in places
        # A letter has the column only if its stream had it.
        self._needs_consent = stream != DEAD_LETTERS and self._has_consent
        self._forbids = self._has_consent or bool(suppressions)

    def build(
        self,
        mapped: Mapping[str, Any],
        raw: Mapping[str, Any],
        now: float,
        left_out: dict[str, int],
        violation: str | None = None,
    ) -> Conversion | Rejection:
        """Turn one mapped record into what becomes of it.

        Args:
            mapped: The record after the stream map.
            raw: The record as the tap sent it, for the key properties.
            now: Unix time.
            left_out: Counts columns that were left out because they could not be used; the keys
                `identity` and `conflict` count junk hashes and hashes that contradict the address.
            violation: How the record breaks the tap's schema, if that was asked.

        Returns:
            The conversion, or why there is none.
        """
        columns = self._columns(mapped)
        # What the identity is made of leaves the columns.
        identity = identify(map(columns.pop, self._identifying, _ABSENT), self._normalize)
        for note in identity.notes:
            _count(left_out, "conflict" if note == "conflict" else "identity")
        event_id, keyed = self._event_id(columns, mapped, raw, left_out)
        try:
            if self._forbids:
                self._check_allowed(columns, identity)
            if violation is not None:
                raise _NoEvent("schema_violation", None, violation)  # noqa: TRY301 (one exit)
            if not keyed:
                raise _NoEvent("missing_key", "event_id")  # noqa: TRY301
            return self._conversion(event_id, columns, identity, now, left_out)
        except _NoEvent as no:
            scrubbed = letter_columns(_with_hashes(columns, identity))
            return Rejection(self._stream, event_id, no.reason, no.field, scrubbed, no.detail)

    def _check_allowed(self, columns: Mapping[str, Any], identity: Identity) -> None:
        """Whether this person may be sent at all; judged before anything else."""
        if (
            self._has_consent
            and (self._needs_consent or columns.get("consent") is not None)
            and not coerce.consent(columns.get("consent"))
        ):
            raise _NoEvent("no_consent", "consent")
        if self._suppressions and self._suppressions.holds(identity):
            raise _NoEvent("suppressed", None)

    def reject_unmapped(self, field: str, raw: Mapping[str, Any], detail: str) -> Rejection:
        """Reject a record of which the map made nothing; only its keys are known."""
        event_id, _ = self._event_id({}, raw, raw, {})
        keys = {name: _letter_value(raw[name], 0) for name in self._keys if name in raw}
        return Rejection(self._stream, event_id, "mapping_failed", field, {}, detail, keys)

    def _columns(self, mapped: Mapping[str, Any]) -> dict[str, Any]:
        """What the record says, by our names."""
        if self._own.issuperset(mapped):
            columns = dict(mapped)  # The usual case, in a third of the time.
        else:
            columns = {name: value for name, value in mapped.items() if name in self._own}
        for name, places in self._elsewhere:
            if columns.get(name) is None and (value := _first(mapped, places)) is not None:
                columns[name] = value
        page = columns.get("source_url")
        if isinstance(page, str) and len(page) <= coerce.LONGEST_TEXT:
            columns["source_url"] = urls.clean(page)
        return columns

    def _event_id(
        self,
        columns: dict[str, Any],
        mapped: Mapping[str, Any],
        raw: Mapping[str, Any],
        left_out: dict[str, int],
    ) -> tuple[str, bool]:
        """The event's ID, and whether it tells the record from all others."""
        given = coerce.text(columns.pop("event_id", None))
        if given is UNUSABLE:
            _count(left_out, "event_id")
        elif given is not None:
            return (pseudonym(given) if holds_address(given) else given), True
        keys = [coerce.text(raw.get(key)) for key in self._keys]
        if not self._keys:
            return derive_event_id(self._stream, [_without_sdc(mapped)]), True
        if any(key not in raw for key in self._keys) or all(key is None for key in keys):
            return derive_event_id(self._stream, [_without_sdc(mapped)]), False
        values = [
            raw[name] if key is UNUSABLE else key
            for name, key in zip(self._keys, keys, strict=True)
        ]
        return derive_event_id(self._stream, values), True

    def _conversion(
        self,
        event_id: str,
        columns: dict[str, Any],
        identity: Identity,
        now: float,
        left_out: dict[str, int],
    ) -> Conversion:
        event_time = self._event_time(columns, now)
        source = self._source or self._required(columns, "source", coerce.source)
        pixel_id = self._pixel_id or self._required(columns, "pixel_id", coerce.positive_integer)
        expires_at = event_time + WINDOWS[source] - MARGIN
        if now >= expires_at:
            raise _NoEvent("event_too_old", "event_time")
        user_data, purchase_data, decision_id = self._details(
            columns, identity.md5, identity.sha2, left_out
        )
        if decision_id is None and not identity.known:
            # Of a URL that is left out for the address in it, too.
            decision_id = coerce.decision_id_of_url(str(columns.get("source_url", "")))
            if decision_id is None:
                raise _NoEvent("no_identity", None)
        event = ConversionEvent(
            event_id, event_time, pixel_id, source, user_data, purchase_data, decision_id
        )
        body = encode(event)
        return Conversion(self._stream, event_id, pixel_id, expires_at, body, columns, identity)

    def _look_again(
        self, name: str, value: Any, columns: dict[str, Any], left_out: dict[str, int]
    ) -> Any:
        """What is sent of an optional column that is not plainly good; mostly nothing."""
        if value is None:
            if name in self._told_if_empty:
                _count(left_out, f"{name} empty")
        elif value is UNUSABLE or holds_address(value):
            _count(left_out, name)
            _scrub_column(columns, name)
        else:
            return value
        return None

    def _event_time(self, columns: Mapping[str, Any], now: float) -> int:
        event_time = coerce.unix_time(columns.get("event_time"), self._defaults.zone)
        if event_time is None:
            raise _NoEvent("missing_event_time", "event_time")
        if event_time is UNUSABLE:
            raise _NoEvent("invalid_event_time", "event_time")
        if event_time < now - 1:
            return event_time
        if event_time > now + MARGIN:
            raise _NoEvent("event_in_future", "event_time")
        # The API wants a moment before that of sending; a clock that is ahead by less is forgiven.
        return int(now) - 1

    def _required(self, columns: Mapping[str, Any], name: str, read: Callable[[Any], Any]) -> Any:
        value = columns.get(name)
        if value is not None:
            value = read(value)
        if value is None:
            value = getattr(self._defaults, name)
        if value is None or value is UNUSABLE:
            reason = f"invalid_{name}"
            raise _NoEvent(reason, name)
        return value


def _first(mapped: Mapping[str, Any], places: Sequence[tuple[str, ...]]) -> Any:
    """The first value that is there, of several places to look."""
    for place in places:
        value: Any = mapped
        for step in place:
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None


def _count(left_out: dict[str, int], name: str) -> None:
    left_out[name] = left_out.get(name, 0) + 1


def _without_sdc(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if not name.startswith("_sdc_")}


def _with_hashes(columns: Mapping[str, Any], identity: Identity) -> dict[str, Any]:
    return {**columns, "md5": identity.md5, "sha2": identity.sha2}


def letter_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The columns as a dead letter may hold them: JSON values that say something, no address.

    Columns in which a hash stands for an address are named in one more, `scrubbed`: a replay leaves
    them out, as the event did.
    """
    written = {name: value for name, value in columns.items() if value is not None}
    for name in list(written):
        _scrub_column(written, name)
    return written


def _scrub_column(columns: dict[str, Any], name: str) -> None:
    before = columns[name]
    columns[name] = _letter_value(before, 0)
    if isinstance(before, str) and columns[name] != before:
        columns["scrubbed"] = [*columns.get("scrubbed", ()), name]


def _letter_value(value: Any, depth: int) -> Any:  # noqa: PLR0911 (a table of types)
    if depth > _DEEPEST:
        return None
    if isinstance(value, dict):
        return {_letter_text(str(k)): _letter_value(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_letter_value(inner, depth + 1) for inner in value]
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, Decimal):
        return value if value.is_finite() else str(value)
    if isinstance(value, int):
        return value if abs(value) < 2**63 else Decimal(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return _letter_text(str(value))


def _letter_text(value: str) -> str:
    if len(value) > coerce.LONGEST_TEXT:
        return f"({len(value)} characters)"
    return scrub(value if value.isascii() else value.encode(errors="replace").decode())
