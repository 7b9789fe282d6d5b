"""Builds a conversion from a mapped record, or rejects the record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from target_liveintent.conversions import coerce
from target_liveintent.conversions.coerce import UNUSABLE
from target_liveintent.conversions.decisions import decision_id, decision_id_of_url
from target_liveintent.conversions.fields import IDENTIFYING, first_value, places_of
from target_liveintent.conversions.model import (
    DEAD_LETTERS,
    MARGIN,
    WINDOWS,
    Conversion,
    Rejection,
    with_hashes,
)
from target_liveintent.conversions.wire import (
    CURRENCY,
    OPTIONAL_FIELDS,
    USER_FIELDS,
    VALUE,
    ConversionEvent,
    PurchaseData,
    UserData,
    encode,
)
from target_liveintent.privacy import (
    IDENTITY_COLUMNS,
    LONGEST_TEXT,
    NORMALIZATIONS,
    URL_PARAMETERS,
    Identity,
    Suppressions,
    clean_url,
    derive_event_id,
    holds_address,
    identify,
    may_hold_address,
    pseudonym,
    redact_column,
    redact_columns,
    redact_value,
)
from target_liveintent.settings import EventDefaults

_ABSENT = (None,) * len(IDENTITY_COLUMNS)
_NO_VALUES = (None,) * len(OPTIONAL_FIELDS)


class _RejectedError(Exception):
    """Ends the building of an event; the arguments are those of `_reject`."""


def _reject(reason: str, field: str | None, detail: str | None = None) -> NoReturn:
    raise _RejectedError(reason, field, detail)


class EventBuilder:
    """Builds the conversions of one stream.

    It resolves once which columns the stream has, so that a record costs no look-ups for others.

    Args:
        stream: The tap's name of the stream; derived event IDs depend on it.
        properties: The names of the columns after mapping.
        key_properties: The tap's key properties, read from the record before mapping.

    Attributes:
        identifying: The columns of the stream that say whose conversion it is.
    """

    def __init__(
        self,
        stream: str,
        properties: Iterable[str],
        key_properties: Sequence[str],
        defaults: EventDefaults,
        suppressions: Suppressions | None = None,
    ) -> None:
        self._stream = stream
        self._keys = tuple(key_properties)
        self._defaults = defaults
        self._normalize = NORMALIZATIONS[defaults.normalization]
        self._kept_parameters = URL_PARAMETERS[defaults.url_parameters]
        self._suppressions = suppressions
        places = places_of(properties)
        # The columns that records have under our names; those that also have the API's spelling.
        self._own = frozenset(name for name, found in places.items() if (name,) in found)
        # The SCHEMA of dead letters has all columns, a dead letter only those that had a value.
        self._counted_if_empty = frozenset() if stream == DEAD_LETTERS else self._own
        self._elsewhere = tuple(
            (name, found) for name, found in places.items() if found != ((name,),)
        )
        self.identifying = frozenset(name for name in IDENTIFYING if name in places)
        self._hashed = tuple(name for name in IDENTITY_COLUMNS if name in places)
        self._has_decision_id = "decision_id" in places
        self._pixel_id = None if "pixel_id" in places else defaults.pixel_id
        self._source = None if "source" in places else defaults.source
        self._optional = tuple(
            (number, field.name, field.coerce, field.coerce in {coerce.text, decision_id})
            for number, field in enumerate(OPTIONAL_FIELDS)
            if field.coerce and field.name in places
        )
        # A dead letter has the column only if its stream had it.
        self._needs_consent = stream != DEAD_LETTERS and "consent" in places
        self._checks_permission = "consent" in places or bool(suppressions)

    def build(
        self,
        mapped: Mapping[str, Any],
        raw: Mapping[str, Any],
        now: float,
        left_out: dict[str, int],
        violation: str | None = None,
    ) -> Conversion | Rejection:
        """Build the conversion of one mapped record, or reject the record.

        Args:
            mapped: The record after the stream map.
            raw: The record as the tap sent it, for the key properties.
            now: Unix time.
            left_out: Counts the columns that an event lacks: `value` if it cannot be used, `value
                empty` if there is none; `conflict` counts hashes that contradict the address.
            violation: How the record breaks the tap's schema.
        """
        notes: list[str] = []
        columns = self._columns(mapped, notes)
        # The columns that the identity is made of do not stay among the others.
        candidates = map(columns.pop, self._hashed, _ABSENT)
        identity = identify(candidates, self._normalize, self._hashed)
        if notes:
            identity = msgspec.structs.replace(identity, notes=(*identity.notes, *notes))
        event_id, is_unique = self._event_id(columns, mapped, raw, left_out)
        try:
            if self._checks_permission:
                self._check_allowed(columns, identity)
            if violation is not None:
                _reject("schema_violation", None, violation)
            if not is_unique:
                _reject("missing_key", "event_id")
            return self._conversion(event_id, columns, identity, now, left_out)
        except _RejectedError as error:
            reason, field, detail = error.args
            redacted = redact_columns(with_hashes(columns, identity))
            return Rejection(self._stream, event_id, reason, field, redacted, detail)

    def event_time_of(self, mapped: Mapping[str, Any]) -> int | None:
        """Return the Unix time of a mapped record's event; None if it has none that can be read."""
        event_time = coerce.unix_time(
            self._columns(mapped, []).get("event_time"), self._defaults.zone
        )
        return event_time if isinstance(event_time, int) else None

    def reject_unmapped(
        self,
        field: str,
        raw: Mapping[str, Any],
        detail: str | None = None,
        *,
        reason: str = "mapping_failed",
        event_id: Any = None,
    ) -> Rejection:
        """Reject a record to which the map was not applied; only its keys are known.

        Args:
            field: The column at fault.
            raw: The record as the tap sent it.
            detail: More about the reason.
            reason: The reason.
            event_id: The event ID that the map gives, if it gives one. With it, the dead letter
                disappears when a corrected map delivers the event.
        """
        event_id, _ = self._event_id({"event_id": event_id}, raw, raw, {})
        keys = {name: redact_value(raw[name]) for name in self._keys if name in raw}
        return Rejection(self._stream, event_id, reason, field, {}, detail, keys)

    def _check_allowed(self, columns: Mapping[str, Any], identity: Identity) -> None:
        """Reject a record of a person who must not be sent; this comes before all other checks."""
        consent = columns.get("consent")
        if (self._needs_consent or consent is not None) and not coerce.consent(consent):
            _reject("no_consent", "consent")
        if self._suppressions and self._suppressions.contains(identity):
            _reject("suppressed", None)

    def _columns(self, mapped: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
        if self._own.issuperset(mapped):
            columns = dict(mapped)  # The usual case takes a third of the time.
        else:
            columns = {name: value for name, value in mapped.items() if name in self._own}
        for name, places in self._elsewhere:
            if columns.get(name) is None and (value := first_value(mapped, places)) is not None:
                columns[name] = value
        page = columns.get("source_url")
        if isinstance(page, str):
            if "li_did" in page:
                _take_decision_id(columns, page, notes)
            if len(page) <= LONGEST_TEXT:
                columns["source_url"] = clean_url(page, self._kept_parameters)
        return columns

    def _event_id(
        self,
        columns: dict[str, Any],
        mapped: Mapping[str, Any],
        raw: Mapping[str, Any],
        left_out: dict[str, int],
    ) -> tuple[str, bool]:
        """Return the event's ID, and whether it distinguishes the record from all others."""
        given = coerce.text(columns.pop("event_id", None))
        if given is UNUSABLE:
            _count(left_out, "event_id")
        elif given is not None:
            return (pseudonym(given) if holds_address(given) else given), True
        keys = [coerce.text(raw.get(key)) for key in self._keys]
        if any(key not in raw for key in self._keys) or all(key is None for key in keys):
            own = {name: value for name, value in mapped.items() if not name.startswith("_sdc_")}
            return derive_event_id(self._stream, [own]), not self._keys
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
            _reject("event_too_old", "event_time")
        if identity.notes:
            self._count_notes(identity.notes, left_out)
        optional = self._optional_values(columns, left_out)
        decided = optional[-1]
        if not self._has_decision_id and "decision_id" in columns:
            decided = columns["decision_id"]  # That of the page.
        if decided is None and identity.md5 is None and identity.sha2 is None:
            _reject("no_identity", None, _unusable(identity.notes, columns))
        event = ConversionEvent(
            event_id,
            event_time,
            pixel_id,
            source,
            UserData(identity.md5, identity.sha2, *optional[:USER_FIELDS]),
            PurchaseData(*optional[USER_FIELDS:-1]),
            decided,
        )
        body = encode(event)
        return Conversion(
            self._stream,
            event_id,
            pixel_id,
            expires_at,
            body,
            columns,
            identity,
            optional[CURRENCY],
            optional[VALUE],
        )

    def _count_notes(self, notes: Iterable[str], left_out: dict[str, int]) -> None:
        for note in notes:
            if self._stream != DEAD_LETTERS or not note.endswith(" empty"):
                _count(left_out, note)

    def _optional_values(self, columns: dict[str, Any], left_out: dict[str, int]) -> list[Any]:
        values: list[Any] = [*_NO_VALUES]
        texts: list[str] = []
        for number, name, read, is_text in self._optional:
            value = read(columns.get(name))
            if value is None:
                if name in self._counted_if_empty:
                    _count(left_out, f"{name} empty")
            elif value is UNUSABLE:
                _leave_out(name, columns, left_out)
            else:
                values[number] = value
                if is_text:
                    texts.append(value)
        # One look at all texts of an event takes half the time of one at each.
        if may_hold_address("\n".join(texts)):
            for number, name, _, is_text in self._optional:
                if is_text and values[number] is not None and holds_address(values[number]):
                    values[number] = None
                    _leave_out(name, columns, left_out)
        return values

    def _event_time(self, columns: Mapping[str, Any], now: float) -> int:
        event_time = coerce.unix_time(columns.get("event_time"), self._defaults.zone)
        if event_time is None:
            _reject("missing_event_time", "event_time")
        if event_time is UNUSABLE:
            _reject("invalid_event_time", "event_time")
        if event_time < now - 1:
            return event_time
        if event_time > now + MARGIN:
            _reject("event_in_future", "event_time")
        # The API wants a time before that of sending; a clock may be ahead by the margin.
        return int(now) - 1

    def _required(self, columns: Mapping[str, Any], name: str, read: Callable[[Any], Any]) -> Any:
        value = read(columns.get(name))
        if value is None:
            value = getattr(self._defaults, name)
        if value is None or value is UNUSABLE:
            _reject(f"invalid_{name}", name)
        return value


def _take_decision_id(columns: dict[str, Any], page: str, notes: list[str]) -> None:
    """Take the decision ID out of a page's URL, unless the record gives one that can be sent.

    This comes before the URL is cleaned, which may remove the parameter that has it. It notes a
    decision ID that cannot be used.
    """
    given = decision_id(columns.get("decision_id"))
    if isinstance(given, str) and not holds_address(given):
        return
    found = decision_id_of_url(page)
    if isinstance(found, str):
        columns["decision_id"] = found
        if given is not None:
            notes.append("decision_id")
    elif found is UNUSABLE and given is None:
        notes.append("decision_id")


def _leave_out(name: str, columns: dict[str, Any], left_out: dict[str, int]) -> None:
    """Count a column that cannot be sent, and redact it for a dead letter."""
    _count(left_out, name)
    redact_column(columns, name)


def _unusable(notes: Sequence[str], columns: Mapping[str, Any]) -> str | None:
    """Return which columns hold a value that identifies nobody; None if all of them are empty."""
    found = [name for name in IDENTIFYING if name in notes]
    # The record has no usable decision ID, so one that is there cannot be used.
    if "decision_id" not in found and decision_id(columns.get("decision_id")) is not None:
        found.append("decision_id")
    return f"the value of {' and of '.join(found)} cannot be used" if found else None


def _count(left_out: dict[str, int], name: str) -> None:
    left_out[name] = left_out.get(name, 0) + 1
