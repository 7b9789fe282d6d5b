"""Builds a conversion from a mapped record, or rejects the record: the definition of the rules.

What this module says is what every record gets. `fast_path.py` does the same in less time for
records in which nothing is odd.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from target_liveintent.conversions import coerce, event_model
from target_liveintent.privacy import redaction
from target_liveintent.privacy.addresses import holds_address
from target_liveintent.privacy.identity import (
    IDENTITY_COLUMNS,
    Identity,
    cause_of_junk,
    derive_event_id,
    identify,
    pseudonym,
)
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.privacy.urls import URL_PARAMETERS, clean_url
from target_liveintent.settings import EventDefaults

_UNUSABLE = {field.name: field.unusable for field in coerce.FIELDS}
_POSITION = re.compile(r"_+(?:sdc_|smart_|file|line|row|path|sheet)\w*")
"""Columns that taps add to say where in a file a row stood, and when they read it."""
_LAST_TIME = 253_402_300_799
"""The last second of the year 9999, as Unix time."""
_MOST_CAUSES = 200


class _RejectedError(Exception):
    """Ends the building of an event; the arguments are those of `_reject`."""


def _reject(reason: str, field: str | None, detail: str | None = None) -> NoReturn:
    raise _RejectedError(reason, field, detail)


def lasting_keys(key_properties: Iterable[str]) -> tuple[str, ...]:
    """Return the key properties that identify a record, and not only its position in a file.

    Another record stands at the same position when the file is overwritten.
    """
    return tuple(key for key in key_properties if not _POSITION.fullmatch(key))


class EventBuilder:
    """Builds the conversions of one stream.

    Args:
        stream: The tap's name of the stream; derived event IDs depend on it.
        properties: The names of the columns after mapping.
        key_properties: The tap's key properties, read from the record before mapping.
        mapped_keys: The columns of a mapped record that take their place; None for none.
        undeclared: Our columns that are also read, from the records that have them.

    Attributes:
        columns: Our columns that the stream has; `identifying` are those that say whose conversion
            it is, and of those that are `hashed`, an identity is made.
        causes: Counts why columns were left out: `value: a value of the form 9,99 is not a number`,
            without data.
    """

    def __init__(  # noqa: PLR0913 (an argument for each thing that it is made of)
        self,
        stream: str,
        properties: Iterable[str],
        key_properties: Sequence[str],
        defaults: EventDefaults,
        suppressions: Suppressions | None = None,
        *,
        mapped_keys: Sequence[str] | None = None,
        undeclared: Iterable[str] = (),
    ) -> None:
        there = set(properties)
        self.undeclared = frozenset(undeclared)
        self.stream = stream
        self._keys = tuple(key_properties)
        self.lasting_keys = lasting_keys(key_properties)
        self.mapped_keys = None if mapped_keys is None else tuple(mapped_keys)
        self.defaults = defaults
        self.suppressions = suppressions or None
        self.columns = tuple(field.name for field in coerce.FIELDS if field.name in there)
        self._expected = frozenset(self.columns)
        read = there | self.undeclared
        self._read = tuple(field.name for field in coerce.FIELDS if field.name in read)
        self.kept_parameters = URL_PARAMETERS[defaults.url_parameters]
        self.identifying = frozenset(coerce.IDENTIFYING).intersection(there)
        self.hashed = tuple(name for name in IDENTITY_COLUMNS if name in there)
        self.causes = Counter[str]()

    def build(
        self,
        mapped: Mapping[str, Any],
        raw: Mapping[str, Any],
        now: float,
        left_out: Counter[str],
        violation: str | None = None,
    ) -> event_model.Conversion | event_model.Rejection:
        """Build the conversion of one mapped record, or reject the record.

        Args:
            mapped: The record after the stream map.
            raw: The record as the tap sent it, for the key properties.
            now: Unix time.
            left_out: Counts the columns that an event lacks: `value` if it cannot be used, `value
                empty` if there is none; `conflict` counts hashes that contradict the address.
            violation: How the record breaks the tap's schema.
        """
        columns = {one: mapped[one] for one in self._read if mapped.get(one) is not None}
        notes = self._take_decision_id(columns)
        # The columns of which the identity is made are removed from the others.
        hashed = [one for one in IDENTITY_COLUMNS if one in columns or one in self._expected]
        candidates = {name: columns.pop(name, None) for name in hashed}
        identity = identify(candidates.values(), self.defaults.normalization, hashed)
        notes += identity.notes
        event_id, is_unique = self._event_id(columns, mapped, raw, notes)
        values: dict[str, Any] = {"event_id": event_id, "md5": identity.md5, "sha2": identity.sha2}
        try:
            self._check_allowed(mapped, identity)
            if violation is not None:
                _reject("schema_violation", None, violation)
            if not is_unique:
                _reject("missing_key", "event_id")
            values["event_time"] = self._event_time(columns, now)
            values |= self._required_values(columns)
            expires_at = (
                values["event_time"] + event_model.WINDOWS[values["source"]] - event_model.MARGIN
            )
            if now >= expires_at:
                _reject("event_too_old", "event_time")
            for name in hashed:
                if name in identity.notes:
                    self._count_cause(name, candidates[name])
            values |= self._optional_values(columns, notes)
            left_out.update(notes)
            if values["md5"] is None and values["sha2"] is None and "decision_id" not in values:
                found = [name for name in coerce.IDENTIFYING if name in notes]
                detail = f"the value of {' and of '.join(found)} cannot be used" if found else None
                _reject("no_identity", None, detail)
            event = event_model.event_of(values)
            return event_model.Conversion(self.stream, event, expires_at, columns, identity.others)
        except _RejectedError as error:
            reason, field, detail = error.args
            columns |= event_model.person_columns(identity.md5, identity.sha2, identity.others)
            redacted = redaction.redact_columns(columns)
            return event_model.Rejection(self.stream, event_id, reason, field, redacted, detail)

    def reject_unmapped(
        self,
        field: str,
        raw: Mapping[str, Any],
        detail: str | None = None,
        *,
        reason: str = "mapping_failed",
        event_id: Any = None,
    ) -> event_model.Rejection:
        """Reject a record to which the map was not applied; only its keys are known.

        With the event ID that the map gives, if it gives one, the dead letter disappears when a
        corrected map delivers the event.
        """
        event_id, _ = self._event_id({"event_id": event_id}, raw, raw, [])
        keys = {name: redaction.redact_value(raw[name]) for name in self._keys if name in raw}
        return event_model.Rejection(self.stream, event_id, reason, field, {}, detail, keys)

    def _take_decision_id(self, columns: dict[str, Any]) -> list[str]:
        """Take a decision ID out of the page's URL, and clean the URL; return what to note.

        The record's own decision ID comes first if it can be sent. Cleaning may remove the
        parameter that has the page's.
        """
        page = columns.get("source_url")
        if not isinstance(page, str):
            return []
        if len(page) <= redaction.LONGEST_TEXT:
            columns["source_url"] = clean_url(page, self.kept_parameters)
        given = coerce.decision_id(columns.get("decision_id"))
        found = coerce.decision_id_of_url(page)
        if found is None or (isinstance(given, str) and not holds_address(given)):
            return []
        if found is coerce.UNUSABLE:
            return ["decision_id"] if given is None else []
        columns["decision_id"] = found
        return [] if given is None else ["decision_id"]

    def _event_id(
        self,
        columns: dict[str, Any],
        mapped: Mapping[str, Any],
        raw: Mapping[str, Any],
        notes: list[str],
    ) -> tuple[str, bool]:
        """Return the event's ID, and whether it distinguishes the record from all others."""
        given = coerce.text(columns.pop("event_id", None))
        if isinstance(given, coerce.Unusable):
            notes.append("event_id")
        elif given is not None:
            return (pseudonym(given) if holds_address(given) else given), True
        elif "event_id" in self._expected:
            notes.append("event_id empty")
        names, record = self.lasting_keys, raw
        if self.mapped_keys is not None:
            names, record = self.mapped_keys, mapped
        keys = [coerce.text(record.get(key)) for key in names]
        if any(key not in record for key in names) or all(key is None for key in keys):
            own = {name: value for name, value in mapped.items() if lasting_keys([name])}
            return derive_event_id(self.stream, [own]), not names
        values = [
            record[name] if key is coerce.UNUSABLE else key
            for name, key in zip(names, keys, strict=True)
        ]
        return derive_event_id(self.stream, self.named_keys(values)), True

    def named_keys(self, values: Sequence[Any]) -> Sequence[Any]:
        """Return what an event ID is derived from, given the values of the keys.

        With their names, mapped keys give no ID that the tap's keys or other ones give.
        """
        if self.mapped_keys is None:
            return values
        return [dict(zip(self.mapped_keys, values, strict=True))]

    def _check_allowed(self, mapped: Mapping[str, Any], identity: Identity) -> None:
        """Reject a record of a person who must not be sent; this comes before all other checks."""
        is_read = "consent" in mapped and "consent" in self._read
        is_asked = is_read or "consent" in self._expected
        if is_asked and not coerce.consent(mapped.get("consent")):
            _reject("no_consent", "consent")
        if self.suppressions:
            if self.suppressions.contains(identity):
                _reject("suppressed", None)
            if identity.others is None:
                _reject("not_compared", None, "the address cannot be read")

    def _event_time(self, columns: Mapping[str, Any], now: float) -> int:
        event_time = coerce.unix_time(columns.get("event_time"), self.defaults.zone)
        if event_time is None:
            _reject("missing_event_time", "event_time")
        if isinstance(event_time, coerce.Unusable):
            cause = coerce.cause_of(columns["event_time"], "is not a time")
            _reject("invalid_event_time", "event_time", cause)
        if event_time < now - 1:
            return event_time
        if event_time > now + event_model.MARGIN:
            _reject("event_in_future", "event_time")
        # The API requires a time before that of sending; a clock may be ahead by the margin.
        return int(now) - 1

    def _required_values(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return source and pixel, which the settings give where the record has none."""
        values = {}
        for name in ("source", "pixel_id"):
            value = coerce.COERCIONS[name](columns.get(name))
            values[name] = getattr(self.defaults, name) if value is None else value
            if values[name] in (None, coerce.UNUSABLE):
                held = coerce.shown(columns.get(name)) if name == "source" else None
                _reject(f"invalid_{name}", name, held)
        return values

    def _optional_values(self, columns: dict[str, Any], notes: list[str]) -> dict[str, Any]:
        """Return the values that can be sent; redact the others for a dead letter."""
        values = {}
        for name in coerce.OPTIONAL:
            value = coerce.COERCIONS[name](columns.get(name))
            if value is None:
                if name in self._expected:
                    notes.append(f"{name} empty")
            elif value is coerce.UNUSABLE or (isinstance(value, str) and holds_address(value)):
                notes.append(name)
                self._count_cause(name, columns[name])
                redaction.redact_column(columns, name)
            else:
                values[name] = value
        return values

    def _count_cause(self, name: str, value: Any) -> None:
        unusable = name in IDENTITY_COLUMNS and cause_of_junk(value)
        cause = f"{name}: {coerce.cause_of(value, unusable or _UNUSABLE[name])}"
        if cause in self.causes or len(self.causes) < _MOST_CAUSES:
            self.causes[cause] += 1


def window_end(columns: Mapping[str, Any], defaults: EventDefaults) -> int | None:
    """Return the Unix time from which on an event of these columns is too old to be sent.

    Where no source is known, it may be one with the longest window. None if the event time is
    absent or cannot be read, or if the end is after the year 9999.
    """
    event_time = coerce.unix_time(columns.get("event_time"), defaults.zone)
    if not isinstance(event_time, int):
        return None
    source = coerce.source(columns.get("source"))
    if source is None:
        source = defaults.source
    window = event_model.WINDOWS.get(str(source), max(event_model.WINDOWS.values()))
    end = event_time + window - event_model.MARGIN
    return end if end <= _LAST_TIME else None
