"""A mapped record in, a conversion or a rejection out.

`EventBuilder` is made once for each stream, when its SCHEMA arrives: it resolves which columns
there are, so that a record costs no look-ups by name that cannot succeed. Everything here is pure;
the clock is an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from target_liveintent.conversions import coerce
from target_liveintent.conversions.coerce import UNUSABLE
from target_liveintent.conversions.model import (
    DEAD_LETTERS,
    IDENTITY_COLUMNS,
    MARGIN,
    WINDOWS,
    Conversion,
    Rejection,
    places_of,
    with_hashes,
)
from target_liveintent.conversions.wire import ConversionEvent, compile_details, encode
from target_liveintent.privacy import urls
from target_liveintent.privacy.identity import (
    NORMALIZATIONS,
    derive_event_id,
    holds_address,
    identify,
    pseudonym,
)
from target_liveintent.privacy.redaction import redact_column, redact_columns, redact_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from target_liveintent.privacy.identity import Identity
    from target_liveintent.privacy.suppression import Suppressions
    from target_liveintent.settings import EventDefaults

_ABSENT = (None,) * len(IDENTITY_COLUMNS)


class _NoEvent(Exception):  # noqa: N818 (an early way out, not an error)
    """Leaves the builder's steps early; it never leaves the builder."""

    def __init__(self, reason: str, field: str | None, detail: str | None = None) -> None:
        """Say why, and which column is at fault."""
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.detail = detail


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
        defaults: EventDefaults,
        suppressions: Suppressions | None = None,
    ) -> None:
        """Resolve the columns once."""
        self._stream = stream
        self._keys = tuple(key_properties)
        self._defaults = defaults
        self._normalize = NORMALIZATIONS[defaults.normalization]
        self._suppressions = suppressions
        places = places_of(properties)
        self._own = frozenset(name for name, found in places.items() if (name,) in found)
        # A letter's SCHEMA has all columns, its record only those that said something.
        self._told_if_empty = frozenset() if stream == DEAD_LETTERS else self._own
        self._elsewhere = tuple(
            (name, found) for name, found in places.items() if found != ((name,),)
        )
        self._identifying = tuple(name for name in IDENTITY_COLUMNS if name in places)
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
            scrubbed = redact_columns(with_hashes(columns, identity))
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
        keys = {name: redact_value(raw[name]) for name in self._keys if name in raw}
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
            redact_column(columns, name)
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
