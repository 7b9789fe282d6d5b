"""Compares the map of a stream with the SCHEMA, and describes each finding in words.

A run logs these words, or fails with them. The text of `explain` has the words, and its JSON has
the codes.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from target_liveintent.conversions.builder import lasting_keys
from target_liveintent.conversions.fields import COLUMNS, FIELDS, IDENTIFYING
from target_liveintent.mapping.expressions import FILTER, Expression
from target_liveintent.mapping.reading import Path, absent_step
from target_liveintent.mapping.similar_names import similar_name
from target_liveintent.mapping.stream_maps import StreamPlan
from target_liveintent.settings import EventDefaults

HINT_WORDS = {
    "similar_name": "did you mean '{}'?",
    "name_with_dot": "to read the column whose name has a dot, write _.get('{}')",
    "fixed_text": "if you mean a fixed text, write the text in two pairs of quotes: \"'{}'\"",
    "likely_key": "such as {}",
}


class Hint(msgspec.Struct, frozen=True):
    """A suggestion to the author of a map. `code` is a key of `HINT_WORDS`.

    Attributes:
        code: The kind of the hint.
        name: A name that exists, a fixed text, or an expression for `event_id`.
    """

    code: str
    name: str

    @property
    def words(self) -> str:
        """The hint in words, as a part of a sentence."""
        return HINT_WORDS[self.code].format(self.name)


FINDING_WORDS = {
    # Things that a stream lacks, as a part of a sentence
    "event_time_missing": "event_time",
    "identity_missing": "one of " + ", ".join(IDENTIFYING),
    "pixel_id_missing": "pixel_id (a column, or the setting pixel_id)",
    "source_missing": "source (a column, or the setting default_source)",
    "needed_column_absent": "the column '{reads}', which '{column}' reads",
    # Probable mistakes, as a sentence
    "unknown_event_column": "the map of '{stream}' sets '{column}', but events have no such column",
    "read_column_absent": (
        "in the map of '{stream}', '{column}' reads '{reads}', which is not in the tap's SCHEMA"
    ),
    "amount_in_cents": (
        "in the map of '{stream}', '{column}' reads '{reads}' as an amount, but that name means"
        " cents. To convert the cents, use minor_units(amount, currency)"
    ),
    "equal_event_ids": (
        "the map '{stream}' gives its events the same IDs as the map '{earlier}' of the same"
        " stream, so the run does not send a record for '{stream}' if it has sent the record for"
        " '{earlier}'. To send both events of a record, set event_id or __key_properties__ in one"
        " of the two maps"
    ),
    "keys_are_positions": (
        "the key properties {reads} say only where in a file a record is, so the event ID is"
        " derived from the mapped record. Map {column} to a column that is different in each record"
    ),
    "timezone_unused": (
        "setting 'timezone' has no effect on the event times of {stream}, because each of these"
        " times has its own time zone or is a Unix time. Some taps, such as tap-postgres, mark"
        " local times as UTC. If your tap does this, map event_time with local_time(…), so that the"
        " setting applies"
    ),
}
_HINT_FORMS = {"needed_column_absent": "{} ({})", "keys_are_positions": "{}, {}"}
"""How the hint follows the words of these findings. For other findings, a semicolon separates the
hint from the words."""
_SETTABLE = frozenset({"pixel_id_missing", "source_missing"})
"""The codes of findings about values that a setting can supply."""


class MapFinding(msgspec.Struct, frozen=True):
    """A problem of a map, or of a setting for mapped streams; `code` is in `FINDING_WORDS`.

    Attributes:
        code: The kind of the problem.
        stream: The name of the stream in the counts of a run. For `timezone_unused`, this may be
            several names with commas.
        column: The column of events that the problem is about.
        reads: What the column reads: a path with dots, or the key properties.
        hint: A suggestion to the author of the map.
        earlier: The name of the earlier map with the same event IDs.
    """

    code: str
    stream: str
    column: str | None = None
    reads: str | None = None
    hint: Hint | None = None
    earlier: str | None = None

    @property
    def words(self) -> str:
        """The finding in words: a sentence without its full stop, or a part of a sentence."""
        words = FINDING_WORDS[self.code].format_map(msgspec.structs.asdict(self))
        if self.hint is None:
            return words
        return _HINT_FORMS.get(self.code, "{}; {}").format(words, self.hint.words)


class AbsentStream(msgspec.Struct, frozen=True):
    """A stream, or a pattern of streams, that a map names but that the input does not have.

    Attributes:
        stream: The name or the pattern in the settings.
        similar: The most similar stream of the input that no map names.
    """

    stream: str
    similar: str | None


def can_be_set(missing: Collection[MapFinding]) -> bool:
    """Return whether settings can supply everything that a stream lacks."""
    return _SETTABLE.issuperset(finding.code for finding in missing)


def lacking_message(stream: str, missing: Iterable[MapFinding]) -> str:
    """Return a sentence that says why a stream cannot produce any event."""
    lacks = "; ".join(finding.words for finding in missing)
    return f"stream '{stream}' cannot produce any event: it lacks {lacks}."


def unused_zone(timezone: str, streams: Sequence[str]) -> MapFinding | None:
    """Return the finding that `timezone` has no effect on these streams; None without streams.

    The result is also None if the zone is UTC, which is the default.
    """
    if not streams or timezone.casefold() == "utc":
        return None
    return MapFinding("timezone_unused", ", ".join(streams))


# The checks

_IN_CENTS = re.compile(  # The words that `recognized.yaml` calls `minor`.
    r"(?i:(?<![a-z])(?:cents?|ct|pence|pennies|rappen|minor|centimes|centavos|centimos|centesimi"
    r"|pfennig)(?![a-z]))|Cents?(?![a-z])"
)
_CONVERSION = re.compile(r"minor_units|[*/]")
_OFTEN_FIXED = ("source", "currency", "app_bundle")
"""Columns that may have the same text in all events."""
_WORD = re.compile(r"[\w-]+")
_DECIDING = {FILTER, "event_id", "event_time"}
"""The keys of a map that decide which events are sent, and which events are the same."""


def map_warnings(plan: StreamPlan, schema: Mapping[str, Any]) -> Iterator[MapFinding]:
    """Yield the probable mistakes in the map of a stream.

    - `unknown_event_column`: the map sets a column that no event has.
    - `read_column_absent`: the map reads a path that the SCHEMA does not have, and `coalesce` or
      `or` gives no alternative that the SCHEMA has. Columns `_sdc_…`, which some taps add, do not
      count. Columns that `needed_columns_absent` returns do not count either.
    - `amount_in_cents`: `value` reads a column whose name means cents, and does not convert it.

    A column that only a preset reads is no mistake, because not every source has the column.
    """
    for column, origin in plan.origins.items():
        if column in plan.of_preset:
            continue
        if column not in {FILTER, *COLUMNS}:
            hint = _similar(column, (field.name for field in FIELDS))
            yield MapFinding("unknown_event_column", plan.stream, column, hint=hint)
        absent = origin.reading.lacks(lambda path: absent_step(path, schema) is not None)
        for path in sorted(absent - _needed_but_absent(column, origin, schema)):
            hint = _hint_of_path(path, schema)
            yield MapFinding("read_column_absent", plan.stream, column, ".".join(path), hint)
        for path in _unconverted_cents(column, origin):
            yield MapFinding("amount_in_cents", plan.stream, column, ".".join(path))


def _unconverted_cents(column: str, origin: Expression) -> list[Path]:
    """Return the paths that `value` reads without a conversion although their names mean cents."""
    if column != "value" or _CONVERSION.search(origin.text):
        return []
    return sorted(path for path in {*origin.reading.paths.values()} if _IN_CENTS.search(path[-1]))


def maps_with_equal_ids(
    plans: Iterable[StreamPlan], key_properties: Iterable[str]
) -> Iterator[MapFinding]:
    """Yield a finding for each map of a stream that gives the same event IDs as an earlier map.

    `key_properties` are those of the tap's SCHEMA.
    """
    keys = lasting_keys(key_properties)
    earlier: dict[Any, str] = {}
    for plan in plans:
        first = earlier.setdefault(plan.gives_ids_of(keys), plan.stream)
        if first != plan.stream:
            yield MapFinding("equal_event_ids", plan.stream, earlier=first)


def lacking_for_events(
    plan: StreamPlan, schema: Mapping[str, Any], defaults: EventDefaults
) -> list[MapFinding]:
    """Return a finding for each thing that a mapped stream lacks to produce events."""
    there = frozenset(plan.properties)
    conditions = {
        "event_time_missing": "event_time" not in there,
        "identity_missing": there.isdisjoint(IDENTIFYING),
        "pixel_id_missing": "pixel_id" not in there and defaults.pixel_id is None,
        "source_missing": "source" not in there and defaults.source is None,
    }
    missing = [MapFinding(code, plan.stream) for code, lacks in conditions.items() if lacks]
    return missing + needed_columns_absent(plan, schema)


def needed_columns_absent(plan: StreamPlan, schema: Mapping[str, Any]) -> list[MapFinding]:
    """Return a finding for each path that the map needs, but that the tap's SCHEMA does not have.

    An expression with the bare name of an absent column fails for each record. An expression that
    decides which events are sent, or what their IDs are, may decide wrongly without a column: a
    filter may accept cancelled orders, and a delivered event may get another ID.
    """
    findings = []
    for column, origin in plan.origins.items():
        for path in sorted(_needed_but_absent(column, origin, schema)):
            hint = _hint_of_path(path, schema)
            # The quotes of `currency: 'EUR'` belong to YAML, so the expression is the name `EUR`.
            # Other columns need a value of the record: a fixed filter or a fixed consent would
            # accept every record.
            if hint is None and column in _OFTEN_FIXED and _WORD.fullmatch(origin.text):
                hint = Hint("fixed_text", origin.text)
            reads = ".".join(path)
            findings.append(MapFinding("needed_column_absent", plan.stream, column, reads, hint))
    return findings


def _needed_but_absent(column: str, origin: Expression, schema: Mapping[str, Any]) -> set[Path]:
    """Return the paths that an expression needs, but that the SCHEMA does not have."""
    decides = column in _DECIDING or (column == "consent" and not origin.reading.fails_closed)
    names: Iterator[Path] = ((name,) for name in origin.names)
    named = {path for path in names if absent_step(path, schema, lists_all=decides)}
    if not decides:
        return named

    def is_absent(path: Path) -> bool:
        # A run reads the consent from the record even if the SCHEMA does not declare the column.
        is_consent = path == ("consent",) or (path[0] == "consent" and origin.reading.fails_closed)
        is_known = is_consent and "consent" not in schema["properties"]
        return not is_known and absent_step(path, schema, lists_all=True) is not None

    return named | origin.reading.lacks(is_absent, protects=True)


def _hint_of_path(path: Path, schema: Mapping[str, Any]) -> Hint | None:
    """Return a hint for a path that the SCHEMA does not have; None if no known name is similar."""
    step, known_steps = absent_step(path, schema, lists_all=True) or (path[0], ())
    dotted = ".".join(path)
    if dotted in known_steps:  # `get` reads a dot as a step into an object.
        return Hint("name_with_dot", dotted)
    return _similar(step, known_steps)


def _similar(name: str, known_names: Iterable[str]) -> Hint | None:
    similar = similar_name(name, known_names)
    return None if similar is None else Hint("similar_name", similar)


def absent_streams(names: Collection[str], streams: Collection[str]) -> list[AbsentStream]:
    """Return the names and patterns of maps that match no stream of the tap."""
    matches = {
        name: {stream for stream in streams if fnmatch.fnmatch(stream, name)} for name in names
    }
    unnamed = [stream for stream in streams if not any(stream in of for of in matches.values())]
    return [
        AbsentStream(name, similar_name(name, unnamed))
        for name, matching in matches.items()
        if not matching
    ]
