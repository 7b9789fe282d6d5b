"""What is wrong with a map, in sentences for people, and what was probably meant.

The SDK would find most mistakes in the setting `stream_maps` only when a SCHEMA comes; each of its
problems is one line that names the entry and what it must be, and never its value. What a map names
in vain is known with the SCHEMA; a run and `explain` say it in the same words.
"""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from target_liveintent.conversions.coerce import COLUMNS, FIELDS, IDENTIFYING
from target_liveintent.mapping.expressions import FILTER, Expression
from target_liveintent.mapping.presets import NULL_VALUES, PRESETS, preset_columns
from target_liveintent.mapping.reading import Path
from target_liveintent.mapping.schema_paths import absent_step
from target_liveintent.mapping.stream_maps import DELETION_COLUMNS, StreamPlan
from target_liveintent.privacy.addresses import scrub
from target_liveintent.settings import EventDefaults, Settings

_SIMILAR = 0.75
"""The least similarity of two names, by `difflib`: `pixel` and `pixel_id` have 0.77."""
_LEAST_LETTERS, _LETTERS_FOR_TWO = 5, 8
"""The least number of letters of a name of ours of which one edit, or two, may be a mistake."""
_MOST_EDITS = 2
_IN_CENTS = re.compile(  # The words that `recognized.yaml` calls `minor`.
    r"(?i:(?<![a-z])(?:cents?|ct|pence|pennies|rappen|minor|centimes|centavos|centimos|centesimi"
    r"|pfennig)(?![a-z]))|Cents?(?![a-z])"
)
_CONVERSION = re.compile(r"minor_units|[*/]")
_OFTEN_FIXED = ("source", "currency", "app_bundle")
"""Columns that may have the same text in all events."""
_WORD = re.compile(r"[\w-]+")
_DECIDING = {FILTER, "event_id", "event_time"}
"""The keys of a map that decide which events are sent, and which of them are the same."""
MISREAD_ADVICE = (
    "Correct the name in the map, or select the column in the tap. If the source may not have the"
    " column, write what holds then, such as coalesce(get('is_test'), False). A line of your own"
    " map replaces that of a preset."
)
"""What to do about the columns that `misread_columns` lists."""
ANSWER = "ANSWER:"
"""What begins a question in a proposed `__filter__`: a run needs the answer."""
FROM_SETTINGS = {
    "pixel_id (a column, or the setting pixel_id)": "pixel_id",
    "source (a column, or the setting default_source)": "source",
}
"""What `lacking_for_events` says of the columns that settings can supply."""


def did_you_mean(name: str, known_names: Iterable[str]) -> str:
    """Return the end of a sentence that suggests the most similar known name, if one is similar."""
    import difflib  # noqa: PLC0415 (few runs need it)

    names = {known.lower(): known for known in known_names}
    similar = difflib.get_close_matches(name.lower(), names, cutoff=_SIMILAR)
    return f"; did you mean '{names[similar[0]]}'?" if similar else ""


def meant_name(name: str, our_names: Collection[str], given: Collection[str] = ()) -> str | None:
    """Return the name of ours that an unknown name is meant to be; None if there is none.

    Two names are the same if they differ only in upper and lower case, in underscores or in other
    signs. Otherwise, edits may be between them: a letter is added, removed or replaced, or two
    neighbours are exchanged. How many depends on the letters of our name, without its signs:

    - Fewer than five: none, because another word is near, as `paid` is near `aaid`. (`__else__`
      allows one.)
    - Five to seven: one. So `order_no` is not meant to be `order_id`.
    - Eight or more: two; but one if our name is `given` too, as `event_time` beside `event_type`.
    """
    if name in our_names:
        return None
    plain, near = _plain(name), []
    for known in our_names:
        edits = _edits(plain, _plain(known))
        if edits <= _edits_allowed(known, is_given=known in given):
            near.append((edits, _edits(name.casefold(), known), known))
    return min(near)[2] if near else None


def _edits_allowed(known: str, *, is_given: bool) -> int:
    letters = len(_plain(known))
    if letters < _LEAST_LETTERS and not known.startswith("__"):
        return 0
    return 1 if letters < _LETTERS_FOR_TWO or is_given else _MOST_EDITS


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _edits(one: str, other: str) -> int:
    """Return how many edits make one word of the other, or a greater number than is allowed.

    This is the Damerau-Levenshtein distance in the form "optimal string alignment".
    """
    if abs(len(one) - len(other)) > _MOST_EDITS:
        return _MOST_EDITS + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, of_other in enumerate(other, 1):
            edits = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != of_other))
            if last and j > 1 and (letter, of_other) == (other[j - 2], one[i - 2]):
                edits = min(edits, last[j - 2] + 1)
            row.append(edits)
        if min(row) > _MOST_EDITS:
            return _MOST_EDITS + 1
    return row[-1]


# The settings


_Null: TypeAlias = Literal["__NULL__"] | None
_EXPRESSION: tuple[Any, str] = (
    str | None,
    (
        "a Python expression. If the expression is a fixed text, write this text in two pairs of"
        " quotes, such as \"'web'\""
    ),
)
_OPTIONS: dict[str, tuple[Any, str]] = {
    "__else__": (_Null, "null or '__NULL__'"),
    "__source__": (Annotated[str, msgspec.Meta(min_length=1)], "text"),
    "__alias__": (
        str,
        "the name of a stream, or a Python expression of it, such as __stream_name__ + '_v2'",
    ),
    "__key_properties__": (list[str] | None, "a list of column names"),
    FILTER: _EXPRESSION,
}
"""The types of the options of one stream's map. A misspelled option would be read as a column."""
_NAMES = (*_OPTIONS, *(field.name for field in FIELDS), *DELETION_COLUMNS)
"""What the keys of one stream's map mean to this program."""


def map_problems(settings: Settings) -> Iterator[str]:
    """Yield the problems of the settings `presets` and `stream_maps`."""
    yield from _preset_problems(settings.presets)
    for name, definition in settings.stream_maps.items():
        where = f"stream_maps.{name}"
        if name.startswith("__") and name != "__else__":
            yield (
                f"setting '{where}' is in the wrong place: a key of stream_maps must be the name of"
                " a stream, or __else__. If this key is an option, move it into the map of a stream"
            )
        elif isinstance(definition, dict) and name != "__else__":
            preset = settings.presets.get(name)
            others = preset_columns(preset) if preset in [*PRESETS] else {}
            yield from _column_problems(where, definition, {*definition, *others})
        elif definition in NULL_VALUES and meant_name(name, ("__else__",)):
            yield f"setting '{where}' is not the name of a stream; did you mean '__else__'?"
        elif not _is_valid(definition, _Null):
            or_map = "" if name == "__else__" else ", or an object whose keys are column names"
            yield f"setting '{where}' must be null or '__NULL__'{or_map}"


def _preset_problems(presets: Mapping[str, Any]) -> Iterator[str]:
    for name, preset in presets.items():
        if name.startswith("__"):
            yield f"setting 'presets.{name}' must be the name of a stream, not an option"
        if not isinstance(preset, str) or preset not in PRESETS:
            near = did_you_mean(preset, PRESETS) if isinstance(preset, str) else ""
            yield f"setting 'presets.{name}' must be one of {', '.join(PRESETS)}{near}"


def presets_with_dots(presets: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the streams of `presets`: of `Sales.Orders`, Meltano makes `Sales: {Orders: …}`."""
    for name, preset in presets.items():
        if isinstance(preset, dict):
            for stream, inner in presets_with_dots(preset):
                yield f"{name}.{stream}", inner
        else:
            yield name, preset


def maps_with_dots(definitions: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the streams of `stream_maps`, whose dots Meltano reads as levels.

    Of `Sales.Orders: {email: mail}`, it makes `Sales: {Orders: {email: mail}}`. Beside such a
    level, a null stands for a stream. If there are only nulls, each may be a column or a stream, so
    it stands for both: neither is sent.
    """
    for name, definition in definitions.items():
        if not isinstance(definition, dict) or name == "__else__":
            yield name, definition
            continue
        levels = {
            key: value
            for key, value in definition.items()
            if isinstance(value, dict) and key not in _NAMES
        }
        own = {key: value for key, value in definition.items() if key not in levels}
        nulls = {key: value for key, value in own.items() if key not in _NAMES}
        has_only_names = bool(own) and nulls == own and all(own[key] in NULL_VALUES for key in own)
        if (own and not (has_only_names and levels)) or not definition:
            yield name, own
        levels |= nulls if has_only_names else {}
        for stream, inner in maps_with_dots(levels):
            yield f"{name}.{stream}", inner


def _column_problems(
    where: str, definition: Mapping[str, Any], names: Collection[str]
) -> Iterator[str]:
    """Yield the problems of one stream's map; `names` are those in it and in its preset."""
    for column, value in definition.items():
        kind, wanted = _OPTIONS.get(column, _EXPRESSION)
        meant = meant_name(column, _NAMES, names)
        if column not in _OPTIONS and column.startswith("__") and column.endswith("__"):
            near = did_you_mean(column, _OPTIONS)
            yield f"setting '{where}.{column}' is not an option of a stream map{near}"
        # (`email: Email` and `Email: __NULL__` rename a column of the tap.)
        elif meant and not (value in NULL_VALUES and meant in names):
            yield (
                f"setting '{where}.{column}' is neither a column of events nor an option of a"
                f" stream map; did you mean '{meant}'?"
            )
        elif column == FILTER and isinstance(value, str) and ANSWER in value:
            yield (
                f"setting '{where}.{column}' has a question to answer:"
                f"{scrub(value.partition(ANSWER)[2])}. Replace all from {ANSWER} on by a condition,"
                " such as get('status') in ('paid', 'shipped'), or by True if all records count"
            )
        elif column in DELETION_COLUMNS and value not in NULL_VALUES:
            yield (
                f"setting '{where}.{column}' has no effect, because the tap's own column is read."
                " To leave out deleted rows by another column, write"
                " __filter__: get('deleted_at') is None"
            )
        elif not _is_valid(value, kind):
            yield f"setting '{where}.{column}' must be {wanted}"


def _is_valid(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
        if kind in (str, _EXPRESSION[0]) and value is not None:
            ast.parse(value.strip(), mode="eval")
    except (msgspec.ValidationError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


# Maps and the SCHEMA


def misspelled(plan: StreamPlan, schema: Mapping[str, Any]) -> Iterator[str]:
    """Return a sentence for each name in the map of a stream that is probably a mistake.

    These are columns that no event has, and paths that the tap's schema does not have, unless
    `coalesce` or `or` gives an alternative that it does have. Nothing is said of the columns
    `_sdc_…`, which taps add by the way in which they replicate, of a preset, which may read what
    not every source has, and of what `misread_columns` names. A further sentence is about a value
    that is read from a column in cents, by its name, and that is not converted.
    """
    where = f"the map of '{plan.stream}'"
    for column, origin in plan.origins.items():
        if column in plan.of_preset:
            continue
        if column not in {FILTER, *COLUMNS}:
            hint = did_you_mean(column, (field.name for field in FIELDS))
            yield f"{where} sets '{column}', but events have no such column{hint}"
        absent = origin.reading.lacks(lambda path: absent_step(path, schema) is not None)
        for path in sorted(absent - _misread(column, origin, schema)):
            hint = _hint(path, schema)
            yield (
                f"in {where}, '{column}' reads '{'.'.join(path)}', which is not in the tap's"
                f" SCHEMA{f'; {hint}' if hint else '.'}"
            )
        if column == "value" and not _CONVERSION.search(origin.text):
            for path in sorted({*origin.reading.paths.values()}):
                if _IN_CENTS.search(path[-1]):
                    yield (
                        f"in {where}, 'value' reads '{'.'.join(path)}', whose name means cents, as"
                        " an amount. To convert it, use minor_units(amount, currency)."
                    )


def maps_with_equal_ids(plans: Iterable[StreamPlan]) -> Iterator[tuple[str, str]]:
    """Yield the names of maps of a stream whose events have the IDs of an earlier one's events.

    The name of the earlier map comes second.
    """
    earlier: dict[Any, str] = {}
    for plan in plans:
        first = earlier.setdefault(plan.gives_ids_of, plan.stream)
        if first != plan.stream:
            yield plan.stream, first


def equal_ids_message(name: str, earlier: str) -> str:
    """Say in a sentence what it means that two maps give their events the same IDs."""
    return (
        f"the map '{name}' gives its events the same IDs as the map '{earlier}' of the same stream,"
        f" so it sends nothing that '{earlier}' has sent. To send such records twice, map event_id"
        " in one of the two, or set its __key_properties__"
    )


def lacking_message(stream: str, lacking: Iterable[str]) -> str:
    """Say in a sentence why a stream cannot produce any event."""
    return f"stream '{stream}' cannot produce any event: it lacks {'; '.join(lacking)}."


def lacking_for_events(
    plan: StreamPlan, schema: Mapping[str, Any], defaults: EventDefaults
) -> list[str]:
    """List in phrases what a mapped stream lacks, so that its records cannot produce an event."""
    there = set(plan.properties)
    lacking = [] if "event_time" in there else ["event_time"]
    if there.isdisjoint(IDENTIFYING):
        lacking.append("one of " + ", ".join(IDENTIFYING))
    for phrase, name in FROM_SETTINGS.items():
        if name not in there and getattr(defaults, name) is None:
            lacking.append(phrase)
    return lacking + misread_columns(plan, schema)


def misread_columns(plan: StreamPlan, schema: Mapping[str, Any]) -> list[str]:
    """List in phrases the columns that the tap's schema does not have, and the map cannot lack.

    An expression with the bare name of such a column fails for each record. And an expression that
    decides which events are sent, and under which ID, decides wrongly without it: a filter may let
    pass what is cancelled, and an event that was delivered may get another ID.
    """
    return [
        f"the column '{'.'.join(path)}', which '{column}' reads{f' ({hint})' if hint else ''}"
        for column, origin in plan.origins.items()
        for path in sorted(_misread(column, origin, schema))
        for hint in [_hint(path, schema) or _hint_of_quotes(column, origin.text)]
    ]


def _misread(column: str, origin: Expression, schema: Mapping[str, Any]) -> set[Path]:
    """Return the paths that an expression reads and cannot lack, but the schema does not have."""
    decides = column in _DECIDING or (column == "consent" and not origin.reading.fails_closed)

    names: Iterator[Path] = ((name,) for name in origin.names)
    named = {path for path in names if absent_step(path, schema, lists_all=decides)}
    if not decides:
        return named

    def is_absent(path: Path) -> bool:
        # What a record says of consent is read from it, whatever the schema says.
        is_consent = path == ("consent",) or (path[0] == "consent" and origin.reading.fails_closed)
        is_known = is_consent and "consent" not in schema["properties"]
        return not is_known and absent_step(path, schema, lists_all=True) is not None

    return named | origin.reading.lacks(is_absent, protects=True)


def _hint(path: Path, schema: Mapping[str, Any]) -> str:
    """Return what was probably meant by a path that the schema does not have; empty if unknown."""
    step, known_steps = absent_step(path, schema, lists_all=True) or (path[0], ())
    dotted = ".".join(path)
    if dotted in known_steps:  # `get` takes a dot for a step into an object.
        return f"to read the column whose name has a dot, write _.get('{dotted}')"
    return did_you_mean(step, known_steps).removeprefix("; ")


def _hint_of_quotes(column: str, text: str) -> str:
    """Return how to write a fixed text if an expression is only a name, as that of a column is.

    The quotes of `currency: 'EUR'` belong to YAML, so that the expression is the name `EUR`. Other
    columns need a value of each record: a fixed filter or consent would let everybody pass.
    """
    if column not in _OFTEN_FIXED or not _WORD.fullmatch(text):
        return ""
    return f"if you mean the fixed text, write it in two pairs of quotes: \"'{text}'\""


def absent_streams(names: Collection[str], streams: Collection[str]) -> Iterator[tuple[str, str]]:
    """Return the names and patterns of maps that match no stream of the tap, each with a hint."""
    others = [x for x in streams if not any(fnmatch.fnmatch(x, name) for name in names)]
    for name in names:
        if not any(fnmatch.fnmatch(stream, name) for stream in streams):
            yield name, did_you_mean(name, others)


def unused_zone(timezone: str, streams: Sequence[str]) -> Iterator[str]:
    """Return a sentence if the setting `timezone` was used for no event time of these streams."""
    if streams and timezone.casefold() != "utc":
        yield (
            f"setting 'timezone' has no effect on the event times of {', '.join(streams)},"
            " because each of these times has its own time zone or is a Unix time. Some taps,"
            " such as tap-postgres, mark local times as UTC. If your tap does this, map"
            " event_time with local_time(…), so that the setting applies"
        )
