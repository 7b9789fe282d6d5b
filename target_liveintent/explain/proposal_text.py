"""Writes proposed maps as YAML: a map or a preset for one stream, or a whole configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from target_liveintent.mapping.expressions import FILTER
from target_liveintent.mapping.map_checks import MapFinding, lacking_for_events
from target_liveintent.mapping.presets import preset_columns
from target_liveintent.mapping.proposals import Proposal, line_without_addresses, propose
from target_liveintent.mapping.recognition import ColumnRemark
from target_liveintent.mapping.stream_maps import Stream, StreamPlan
from target_liveintent.mapping.vocabulary import vocabulary
from target_liveintent.privacy.addresses import scrub
from target_liveintent.settings import EventDefaults

SCHEMA_URL = "https://target-liveintent.github.io/target-liveintent/latest/settings.schema.json"
"""The address of the JSON Schema of the settings, which editors read."""
_HEAD = f"""\
# yaml-language-server: $schema={SCHEMA_URL}
# Proposed by target-liveintent explain. Fill in the three blanks, and check each line. A text that
# has ANSWER: is a question. Replace it, from ANSWER: to the closing quote, with a condition, or no
# run starts.
customer_id: # the ID of your account at LiveIntent
auth_token: # the token of the account, if not in the variable TARGET_LIVEINTENT_AUTH_TOKEN
pixel_id: # the number of your conversion pixel
# api_url: http://127.0.0.1:8086 # to send to the sandbox first
timezone: UTC # the zone of times without an offset, such as Europe/Berlin
"""
_YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
REMARK_WORDS = {
    # The source of a proposed column of an event
    "derived_from_keys": "derived from the keys {keys}",
    "derived_from_record": "derived from the whole record: a changed record is sent again",
    "repeated_sent_once": (
        "rows with the same value as another row: {repeated} of {rows}; only one of these rows is"
        " sent"
    ),
    # Why the name of a candidate is not enough to propose the candidate
    "rival": "{column} fits equally well",
    "strangers": "the people in this stream are not customers",
    "other_customer": "the name of another column says that it belongs to the customer",
    "ambiguous_name": "because of the other columns, its name can also mean something else",
    "vague_name": "its name is too general",
    "other_word": "its name also contains {word!r}",
    "not_beside_value": "it and the column of the value are in different JSON objects",
    # Why the values of a candidate are not certain
    "other_form": "its values have an unexpected form",
    "no_times": "not all of its values can be read as times",
    "day_or_month": "which number is the day, and which the month?",
    "unknown_values": "its values are unknown, because no record has a value",
    "one_value": "all {rows} rows have the same value",
    "few_values": "{rows} rows have only {different} different values",
    "repeated": "rows with the same value as another row: {repeated} of {rows}",
    # Why the unit of a candidate is not certain
    "cents_without_currency": "it is in cents, but no column has the currency",
    "cents_not_whole": "its name means cents, but not all of its values are whole numbers",
    "two_currencies": "its name has a currency, and there is a column for the currency",
    "maybe_cents": "its values are whole numbers: are they cents?",
    "unclear_sign": "does the sign in its values separate decimals or thousands?",
}
"""The words of each remark on a column, by the code of the remark."""


MISREAD_ADVICE = (
    "Correct the name in the map, or select the column in the tap. If the source may not have the"
    " column, write a value for this case, such as coalesce(get('is_test'), False). A line of your"
    " own map replaces the same line of a preset."
)
"""The advice if a stream lacks only columns that its map reads."""


def advise(
    stream: Stream,
    missing: Collection[MapFinding],
    defaults: EventDefaults,
    *,
    in_use: bool,
    records: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return advice for a stream: the correction of a name, a preset, or a map to start from.

    Args:
        stream: The stream, which may lack values that settings alone cannot supply.
        missing: Findings that say what the stream lacks to produce events.
        defaults: The values that the settings supply.
        in_use: Whether the stream uses a preset already.
        records: The first records of the stream.
    """
    if missing and {finding.code for finding in missing} == {"needed_column_absent"}:
        return MISREAD_ADVICE
    name, proposal = _yaml(scrub(stream.name).replace(".", "\\.")), propose(stream, records)
    if in_use or proposal.preset is None:
        header = ["stream_maps:", "  __else__: __NULL__ # send no other stream"]
        return "\n".join(["A map to start from:", *header, *map_lines(proposal, name)])
    plan = StreamPlan.without_map(stream.name, preset_columns(proposal.preset))
    lacks = ", ".join(finding.words for finding in lacking_for_events(plan, {}, defaults))
    also = f", and also {lacks}" if lacks else ""
    return (
        f"These columns look like those of a preset: set `presets: {{{name}: {proposal.preset}}}`"
        f"{also}. To see the preset, run `target-liveintent preset {proposal.preset}`."
    )


def map_lines(proposal: Proposal, name: str) -> list[str]:
    """Return the entry of `stream_maps` under a name, with a comment on each line."""
    comments = {column: field.comment for column, field in vocabulary().fields.items()}
    comments[FILTER] = "which records count"
    return [
        f"  {name}: # the map of this stream",
        *(f"    # {line_without_addresses(remark)}" for remark in remark_lines(proposal)),
        *(
            f"    {column}: {_yaml(expression)} # {comments[column]}"
            for column, expression in proposal.expressions.items()
        ),
        "    __else__: __NULL__ # no other column leaves this machine",
    ]


def remark_lines(proposal: Proposal) -> Iterator[str]:
    """Yield the remarks on a map for the person who has to check it."""
    for field, recognition in proposal.recognized.items():
        if recognition.remark is not None:
            yield f"{field}: {_words(recognition.remark)}"
    for field, recognition in proposal.recognized.items():
        if recognition.candidates and field not in proposal.expressions:
            candidates = ", ".join(
                f"{column.name} ({_words(remark)})" for column, remark in recognition.candidates
            )
            yield f"{field}: not recognized; candidates: {candidates}"


def _words(remark: ColumnRemark) -> str:
    return REMARK_WORDS[remark.code].format_map(remark.facts)


def config_text(streams: Iterable[tuple[Stream, Sequence[Mapping[str, Any]]]]) -> str:
    """Return a complete configuration as YAML, with blanks only for values that the user must add.

    The configuration sends the streams that look like sales. If no stream looks like sales, the
    configuration sends each stream with a time and a person, or else the first stream.
    """
    proposals = [propose(stream, records) for stream, records in streams]
    chosen = {_yaml(proposal.stream): proposal for proposal in _best(proposals)}
    presets = {name: proposal.preset for name, proposal in chosen.items() if proposal.preset}
    others = [name for proposal in proposals if (name := _yaml(proposal.stream)) not in chosen]
    lines = ["presets: # ready maps"] if presets else []
    lines += [
        f"  {name}: {preset} # run target-liveintent preset {preset}"
        for name, preset in presets.items()
    ]
    lines += ["stream_maps: # what is sent", "  __else__: __NULL__ # no other stream is sent"]
    for name, proposal in chosen.items():
        if name not in presets:
            lines += map_lines(proposal, name)
    lines += [f"  # not proposed; no amount or no person was found: {name}" for name in others]
    return _HEAD + "\n".join(lines) + "\n"


def _best(proposals: Sequence[Proposal]) -> Sequence[Proposal]:
    best = max(proposal.rank for proposal in proposals)
    return [proposal for proposal in proposals if proposal.rank == best] if best else proposals[:1]


def _yaml(text: str) -> str:
    """Return a text as a YAML scalar, in quotes if YAML would read the plain text differently."""
    plain = re.fullmatch(r"[A-Za-z_][\w .,()'\\/%-]*(?<! )", text, re.ASCII)
    is_plain = plain and text.lower() not in _YAML_WORDS
    return text if is_plain else json.dumps(text, ensure_ascii=not text.isprintable())
