"""Builds a conversion from a mapped record, or rejects the record. This module defines the rules.

fast_path.py gives the same result in less time for usual records.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from target_liveintent.conversions import coerce, event_model
from target_liveintent.conversions.fields import COERCIONS, FIELDS, IDENTIFYING, OPTIONAL
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
from target_liveintent.remarks import (
    COLUMN_EMPTY,
    COLUMN_UNUSABLE,
    HAS_DECISION_ID,
    LOCAL_TIME,
    OWN_DECISION_ID,
    REJECTION_CAUSE,
    Remark,
    Remarks,
    UnusableCause,
)
from target_liveintent.settings import EventDefaults

_CAUSE_CODES = {field.name: field.unusable for field in FIELDS}
_POSITION = re.compile(r"_+(?:sdc_|smart_|file|line|row|path|sheet)\w*")
"""Matches the columns that taps add for a row's position in a file and for the time of reading."""
_LAST_TIME = 253_402_300_799
"""The last second of the year 9999, as Unix time."""
IN_LOCAL_TIME: Remarks = (Remark(LOCAL_TIME, "event_time"),)
_UNUSABLE_DECISION_ID: Remarks = (Remark(COLUMN_UNUSABLE, "decision_id"),)
_WITH_DECISION_ID: Remarks = (Remark(HAS_DECISION_ID, "decision_id"),)


class _RejectedError(Exception):
    """Raised to reject the record while `EventBuilder` builds the event.

    Attributes:
        reason: A code of `reasons.REASONS`.
        field: The column at fault.
        detail: Facts about the reason, without addresses.
        remarks: The remarks on the record that count although it is rejected.
    """

    def __init__(
        self, reason: str, field: str | None, detail: str | None = None, remarks: Remarks = ()
    ) -> None:
        super().__init__(reason)
        self.reason, self.field, self.detail, self.remarks = reason, field, detail, remarks


def _reject(
    reason: str, field: str | None, detail: str | None = None, remarks: Remarks = ()
) -> NoReturn:
    raise _RejectedError(reason, field, detail, remarks)


def _reject_value(reason: str, field: str, cause: UnusableCause | None) -> NoReturn:
    """Reject a record because of a column. The cause is None if the column has no value."""
    if cause is None:
        _reject(reason, field)
    _reject(reason, field, cause.words, (Remark(REJECTION_CAUSE, field, cause),))


class _EventId(NamedTuple):
    """The ID of an event, whether no other record has the same ID, and remarks on the ID."""

    text: str
    is_unique: bool
    remarks: Remarks = ()

    @property
    def problem(self) -> str | None:
        """Why the column `event_id` gives no ID; None if it gives an ID, or is not mapped."""
        kinds = {remark.kind for remark in self.remarks}
        if COLUMN_EMPTY in kinds:
            return "event_id is empty in this record"
        return "the value of event_id cannot be used" if COLUMN_UNUSABLE in kinds else None


class _Draft(NamedTuple):
    """The values of a record before the record is checked.

    Attributes:
        columns: The columns for the dead letter, without the address and the hashes.
        remarks: The remarks that count if the event is sent, or is rejected because it
            identifies nobody.
    """

    columns: dict[str, Any]
    identity: Identity
    event_id: _EventId
    time: coerce.TimeRead
    remarks: Remarks

    @property
    def time_remarks(self) -> Remarks:
        """The remarks on the event time, which count for each outcome of the record."""
        return IN_LOCAL_TIME if self.time.is_local else ()


class Permission(NamedTuple):
    """Whether an event may be sent.

    Attributes:
        consent: Whether the record has a consent; None if the stream has no column for it.
        in_list: `suppressed` if the suppression list names the person, `not_compared` if this
            cannot be known, and else `not_listed`; None without a list.
    """

    consent: bool | None
    in_list: str | None = None


def lasting_keys(key_properties: Iterable[str]) -> tuple[str, ...]:
    """Return the key properties except those that say only where in a file a record is.

    After the file is overwritten, another record is in the same place.
    """
    return tuple(key for key in key_properties if not _POSITION.fullmatch(key))


class EventBuilder:
    """Builds the conversions of one stream.

    Args:
        stream: The tap's name for the stream. Derived event IDs depend on this name.
        properties: The names of the columns after mapping.
        key_properties: The tap's key properties, read from the record before mapping.
        defaults: The values that the settings supply for events.
        suppressions: The people whose events must not be sent.
        mapped_keys: The columns of a mapped record that replace the key properties, or None.
        undeclared: Columns of events that a record may have although `properties` lacks them.

    Attributes:
        columns: The columns of events that the stream has.
        hashed: The columns for addresses and hashes that the stream has.
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
        self.columns = tuple(field.name for field in FIELDS if field.name in there)
        self._expected = frozenset(self.columns)
        read = there | self.undeclared
        self._read = tuple(field.name for field in FIELDS if field.name in read)
        self.kept_parameters = URL_PARAMETERS[defaults.url_parameters]
        self.hashed = tuple(name for name in IDENTITY_COLUMNS if name in there)

    def build(
        self,
        mapped: Mapping[str, Any],
        raw: Mapping[str, Any],
        now: float,
        violation: str | None = None,
    ) -> event_model.Conversion | event_model.Rejection:
        """Return the conversion of one mapped record, or the rejection of the record.

        Args:
            mapped: The record after the stream map.
            raw: The record as the tap sent it, which has the key properties.
            now: The current Unix time in seconds.
            violation: How the record violates the tap's schema; None if the record is valid.
        """
        draft = self._draft(mapped, raw)
        try:
            self._check_allowed(mapped, draft.identity)
            if violation is not None:
                _reject("schema_violation", None, violation)
            if not draft.event_id.is_unique:
                _reject("missing_key", "event_id", draft.event_id.problem)
            return self._conversion(draft, raw, now)
        except _RejectedError as rejected:
            return self._rejection(draft, rejected)

    def _draft(self, mapped: Mapping[str, Any], raw: Mapping[str, Any]) -> _Draft:
        """Return the identity, the event ID, the time and the other columns, without checks."""
        columns = {name: mapped[name] for name in self._read if mapped.get(name) is not None}
        of_page, remarks = self._read_page(columns)
        columns |= of_page
        # A dead letter must not have the address and the hashes in their original form.
        hashed = [name for name in IDENTITY_COLUMNS if name in columns or name in self._expected]
        candidates = {name: columns.pop(name, None) for name in hashed}
        identity = identify(candidates.values(), self.defaults.normalization, hashed)
        remarks += tuple(_with_cause(remark, candidates) for remark in identity.remarks)
        event_id = self._event_id(columns.pop("event_id", None), mapped, raw)
        remarks += event_id.remarks
        time = coerce.read_time(columns.get("event_time"), self.defaults.zone)
        return _Draft(columns, identity, event_id, time, remarks)

    def _conversion(
        self, draft: _Draft, raw: Mapping[str, Any], now: float
    ) -> event_model.Conversion:
        """Return the conversion of a draft; raise a `_RejectedError` if it cannot be sent."""
        columns, identity = draft.columns, draft.identity
        event_time = _usable_time(draft.time, columns, now)
        required = self._required_values(columns)
        expires_at = event_time + event_model.WINDOWS[required["source"]] - event_model.MARGIN
        optional, of_optional = self._optional_values(columns)
        for remark in of_optional:
            if remark.kind == COLUMN_UNUSABLE:
                redaction.redact_column(columns, remark.column)
        remarks = draft.remarks + of_optional
        decision_id = optional.get("decision_id")
        if identity.md5 is None and identity.sha2 is None and decision_id is None:
            _reject("no_identity", None, _unusable_identity(remarks), remarks)
        event = event_model.event_of(
            {"event_id": draft.event_id.text, "md5": identity.md5, "sha2": identity.sha2}
            | {"event_time": event_time}
            | required
            | optional
        )
        if decision_id is not None and "decision_id" in self._read:
            order_id = event.purchase_data.order_id
            remarks += self.decision_id_remarks(decision_id, event.event_id, order_id, raw)
        remarks += draft.time_remarks
        return event_model.Conversion(
            self.stream, event, expires_at, columns, identity.others, remarks
        )

    def _rejection(self, draft: _Draft, rejected: _RejectedError) -> event_model.Rejection:
        identity = draft.identity
        person = event_model.person_columns(identity.md5, identity.sha2, identity.others)
        return event_model.Rejection(
            self.stream,
            draft.event_id.text,
            rejected.reason,
            rejected.field,
            redaction.redact_columns(draft.columns | person),
            rejected.detail,
            remarks=rejected.remarks + draft.time_remarks,
        )

    def reject_unmapped(
        self,
        field: str,
        raw: Mapping[str, Any],
        detail: str | None = None,
        *,
        reason: str = "mapping_failed",
        event_id: Any = None,
    ) -> event_model.Rejection:
        """Return the rejection of a record to which the map was not applied.

        The dead letter contains only the tap's key properties. If the map gives an `event_id`, the
        dead letter disappears when a corrected map delivers the event.
        """
        event_id = self._event_id(event_id, raw, raw).text
        keys = {name: redaction.redact_value(raw[name]) for name in self._keys if name in raw}
        return event_model.Rejection(self.stream, event_id, reason, field, {}, detail, keys)

    def _read_page(self, columns: Mapping[str, Any]) -> tuple[dict[str, Any], Remarks]:
        """Clean the URL of the page, and read the decision ID in the URL.

        A decision ID of the record takes precedence if it can be sent. The ID in the URL becomes a
        column, because cleaning may remove the parameter.

        Returns:
            The columns that change, and a remark if a decision ID cannot be used.
        """
        page = columns.get("source_url")
        if not isinstance(page, str):
            return {}, ()
        changed = {}
        if len(page) <= redaction.LONGEST_TEXT:
            changed["source_url"] = clean_url(page, self.kept_parameters)
        given = coerce.decision_id(columns.get("decision_id"))
        of_page = coerce.decision_id_of_url(page)
        if of_page is None or (isinstance(given, str) and not holds_address(given)):
            return changed, ()
        if isinstance(of_page, coerce.Unusable):
            return changed, _UNUSABLE_DECISION_ID if given is None else ()
        changed["decision_id"] = of_page
        return changed, () if given is None else _UNUSABLE_DECISION_ID

    def unique_id(
        self, column: Any, mapped: Mapping[str, Any], raw: Mapping[str, Any]
    ) -> str | None:
        """Return the ID of an event, from a value of `event_id` or from the keys.

        The result is None if only a whole mapped record gives an ID.
        """
        event_id = self._event_id(column, mapped, raw)
        has_keys = bool(self.lasting_keys if self.mapped_keys is None else self.mapped_keys)
        is_known = has_keys or isinstance(coerce.text(column), str)
        return event_id.text if event_id.is_unique and is_known else None

    def _event_id(self, column: Any, mapped: Mapping[str, Any], raw: Mapping[str, Any]) -> _EventId:
        """Return the ID of the event, from the column `event_id` or else a derived ID."""
        given = coerce.text(column)
        if isinstance(given, str):
            return _EventId(pseudonym(given) if holds_address(given) else given, is_unique=True)
        remarks: Remarks = ()
        if given is not None:
            remarks = (Remark(COLUMN_UNUSABLE, "event_id"),)
        elif "event_id" in self._expected:
            remarks = (Remark(COLUMN_EMPTY, "event_id"),)
        return _EventId(*self._derived_id(mapped, raw), remarks)

    def _derived_id(self, mapped: Mapping[str, Any], raw: Mapping[str, Any]) -> tuple[str, bool]:
        """Return an ID that is derived from the keys, and whether only this record has the ID.

        If a key is absent or all keys are null, the ID is derived from the whole mapped record.
        """
        names, record = self.lasting_keys, raw
        if self.mapped_keys is not None:
            names, record = self.mapped_keys, mapped
        keys = [coerce.text(record.get(key)) for key in names]
        is_absent = any(key not in record for key in names)
        if is_absent or all(key is None for key in keys):
            own = {name: value for name, value in mapped.items() if lasting_keys([name])}
            return derive_event_id(self.stream, [own]), not names
        values = [
            record[name] if key is coerce.UNUSABLE else key
            for name, key in zip(names, keys, strict=True)
        ]
        return derive_event_id(self.stream, self.named_keys(values)), True

    def named_keys(self, values: Sequence[Any]) -> Sequence[Any]:
        """Return what an event ID is derived from, given the values of the keys.

        The result includes the names of mapped keys, so different keys never give the same ID.
        """
        if self.mapped_keys is None:
            return values
        return [dict(zip(self.mapped_keys, values, strict=True))]

    def permission(self, mapped: Mapping[str, Any], raw: Mapping[str, Any]) -> Permission:
        """Return whether the event of a mapped record may be sent, as `build` decides it."""
        return self._permission(mapped, self._draft(mapped, raw).identity)

    def _permission(self, mapped: Mapping[str, Any], identity: Identity) -> Permission:
        is_read = "consent" in mapped and "consent" in self._read
        is_asked = is_read or "consent" in self._expected
        consent = coerce.consent(mapped.get("consent")) if is_asked else None
        if not self.suppressions:
            return Permission(consent)
        if self.suppressions.contains(identity):
            return Permission(consent, "suppressed")
        return Permission(consent, "not_listed" if identity.others is not None else "not_compared")

    def _check_allowed(self, mapped: Mapping[str, Any], identity: Identity) -> None:
        """Reject a record without consent, or of a person who may be on the suppression list."""
        consent, in_list = self._permission(mapped, identity)
        if consent is False:
            _reject("no_consent", "consent")
        if in_list == "suppressed":
            _reject("suppressed", None)
        if in_list == "not_compared":
            _reject("not_compared", None, "the address cannot be read")

    def _required_values(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return the source and the pixel ID, from the record or else from the settings."""
        values = {}
        for name in ("source", "pixel_id"):
            value = COERCIONS[name](columns.get(name))
            values[name] = getattr(self.defaults, name) if value is None else value
            if values[name] in (None, coerce.UNUSABLE):
                cause = coerce.cause_of_source(columns.get(name)) if name == "source" else None
                _reject_value(f"invalid_{name}", name, cause)
        return values

    def _optional_values(self, columns: Mapping[str, Any]) -> tuple[dict[str, Any], Remarks]:
        """Return the optional values that can be sent, and remarks on empty or unusable columns."""
        values, remarks = {}, []
        for name in OPTIONAL:
            value = COERCIONS[name](columns.get(name))
            if value is None:
                if name in self._expected:
                    remarks.append(Remark(COLUMN_EMPTY, name))
            elif value is coerce.UNUSABLE or (isinstance(value, str) and holds_address(value)):
                cause = coerce.cause_of(columns[name], _CAUSE_CODES[name])
                remarks.append(Remark(COLUMN_UNUSABLE, name, cause))
            else:
                values[name] = value
        return values, tuple(remarks)

    def decision_id_remarks(
        self, decision_id: str, event_id: str, order_id: str | None, raw: Mapping[str, Any]
    ) -> Remarks:
        """Return a remark on the decision ID of an event, and a remark if another ID is equal."""
        ids: dict[str, Any] = {"event_id": event_id, "order_id": order_id}
        ids |= {key: coerce.text(raw.get(key)) for key in self._keys}
        for name, other in ids.items():
            if other == decision_id:
                return *_WITH_DECISION_ID, Remark(OWN_DECISION_ID, name)
        return _WITH_DECISION_ID


def _usable_time(time: coerce.TimeRead, columns: Mapping[str, Any], now: float) -> int:
    """Return the event time to send; raise a `_RejectedError` if the time cannot be used."""
    event_time = time.seconds
    if event_time is None:
        _reject("missing_event_time", "event_time")
    if isinstance(event_time, coerce.Unusable):
        cause = coerce.cause_of(columns["event_time"], "not_time")
        _reject_value("invalid_event_time", "event_time", cause)
    if event_time < now - 1:
        return event_time
    if event_time > now + event_model.MARGIN:
        _reject("event_in_future", "event_time")
    # The API requires an event time before the time of sending. A clock may be ahead by the margin.
    return int(now) - 1


def _with_cause(remark: Remark, candidates: Mapping[str, Any]) -> Remark:
    """Return a remark on the identity, with the cause if the remark is on an unusable column."""
    if remark.kind != COLUMN_UNUSABLE:
        return remark
    value = candidates[remark.column]
    code = cause_of_junk(value) or _CAUSE_CODES[remark.column]
    return remark._replace(cause=coerce.cause_of(value, code))


def _unusable_identity(remarks: Remarks) -> str | None:
    """Return a text that names the identifying columns with unusable values; None without any."""
    unusable = {remark.column for remark in remarks if remark.kind == COLUMN_UNUSABLE}
    names = [name for name in IDENTIFYING if name in unusable]
    return f"the value of {' and of '.join(names)} cannot be used" if names else None


def window_end(columns: Mapping[str, Any], defaults: EventDefaults) -> int | None:
    """Return the Unix time from which on an event of these columns is too old to be sent.

    If the source is unknown, the longest window counts. The result is None if the event time is
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
