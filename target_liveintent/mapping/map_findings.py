"""What is wrong with a map for the SCHEMA of a stream: findings as values, and their words.

A run logs the words, or fails with them; `explain` prints the words as text and the codes as JSON.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from target_liveintent.conversions.fields import IDENTIFYING

HINT_WORDS = {
    "similar_name": "did you mean '{}'?",
    "name_with_dot": "to read the column whose name has a dot, write _.get('{}')",
    "fixed_text": "if you mean the fixed text, write it in two pairs of quotes: \"'{}'\"",
    "likely_key": "such as {}",
}


class Hint(msgspec.Struct, frozen=True):
    """What the author of a map probably meant, or could write: a key of `HINT_WORDS`, and a name.

    With `fixed_text`, the name is a text, and with `likely_key` an expression for `event_id`.
    """

    code: str
    name: str

    @property
    def words(self) -> str:
        """The hint as a part of a sentence."""
        return HINT_WORDS[self.code].format(self.name)


FINDING_WORDS = {
    # What a stream lacks, as a part of a sentence
    "event_time_missing": "event_time",
    "identity_missing": "one of " + ", ".join(IDENTIFYING),
    "pixel_id_missing": "pixel_id (a column, or the setting pixel_id)",
    "source_missing": "source (a column, or the setting default_source)",
    "needed_column_absent": "the column '{reads}', which '{column}' reads",
    # What is probably a mistake, as a sentence
    "unknown_event_column": "the map of '{stream}' sets '{column}', but events have no such column",
    "read_column_absent": (
        "in the map of '{stream}', '{column}' reads '{reads}', which is not in the tap's SCHEMA"
    ),
    "amount_in_cents": (
        "in the map of '{stream}', '{column}' reads '{reads}', whose name means cents, as an"
        " amount. To convert it, use minor_units(amount, currency)"
    ),
    "equal_event_ids": (
        "the map '{stream}' gives its events the same IDs as the map '{earlier}' of the same"
        " stream, so it sends nothing that '{earlier}' has sent. To send such records twice, map"
        " event_id in one of the two, or set its __key_properties__"
    ),
    "keys_are_positions": (
        "the key properties {reads} only say where in a file a record stood, so the event ID is"
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
"""How a hint follows the words of a finding; after all others, it follows a semicolon."""
_SETTABLE = frozenset({"pixel_id_missing", "source_missing"})
"""What a setting can supply."""


class MapFinding(msgspec.Struct, frozen=True):
    """One thing that is wrong with a map.

    Attributes:
        code: A key of `FINDING_WORDS`.
        stream: The name under which the map's records are counted; with `timezone_unused`, several.
        column: The column of the map.
        reads: What the column reads: a path with dots, or the key properties.
        earlier: The earlier map of the same stream.
    """

    code: str
    stream: str
    column: str | None = None
    reads: str | None = None
    hint: Hint | None = None
    earlier: str | None = None

    @property
    def words(self) -> str:
        """The finding as a sentence without its final stop, or as a part of a sentence."""
        words = FINDING_WORDS[self.code].format_map(msgspec.structs.asdict(self))
        if self.hint is None:
            return words
        return _HINT_FORMS.get(self.code, "{}; {}").format(words, self.hint.words)


class AbsentStream(msgspec.Struct, frozen=True):
    """A stream, or a pattern of streams, that a map names, and that is not in the input.

    `similar` is a stream of the input that no map names.
    """

    stream: str
    similar: str | None


def can_be_set(missing: Collection[MapFinding]) -> bool:
    """Return whether settings can supply all that a stream lacks."""
    return _SETTABLE.issuperset(finding.code for finding in missing)


def are_misread(missing: Collection[MapFinding]) -> bool:
    """Return whether a stream lacks only columns that its map reads."""
    return bool(missing) and {finding.code for finding in missing} == {"needed_column_absent"}


MISREAD_ADVICE = (
    "Correct the name in the map, or select the column in the tap. If the source may not have the"
    " column, write what holds then, such as coalesce(get('is_test'), False). A line of your own"
    " map replaces that of a preset."
)
"""What to do if a stream lacks only columns that its map reads."""


def lacking_message(stream: str, missing: Iterable[MapFinding]) -> str:
    """Return a sentence that says why a stream cannot produce any event."""
    lacks = "; ".join(finding.words for finding in missing)
    return f"stream '{stream}' cannot produce any event: it lacks {lacks}."


def unused_zone(timezone: str, streams: Sequence[str]) -> MapFinding | None:
    """Return a finding if the setting `timezone` was used for no event time of these streams."""
    if not streams or timezone.casefold() == "utc":
        return None
    return MapFinding("timezone_unused", ", ".join(streams))
