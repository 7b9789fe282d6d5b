"""What `explain` notes about the records of a stream."""

import io
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from explain_support import explained as all_explained
from explain_support import inspected, record, schema, settings, source
from unit_support import ADDRESS, DAY, TIME, each_of

from target_liveintent.conversions.fast_path import EXPRESSION_FAILED
from target_liveintent.errors import InputError
from target_liveintent.explain.description import Explained, describe
from target_liveintent.failures import FailureCode
from target_liveintent.mapping.presets import PRESETS
from target_liveintent.remarks import COLUMN_EMPTY, COLUMN_UNUSABLE, SLOW_PATH
from target_liveintent.run.counts import StreamCounts
from target_liveintent.singer.explaining import read_input

EVENT = ("event_time", "email")
RECORD = {"id": 1, "event_time": TIME, "email": ADDRESS, "value": ""}


def explained(*changes: dict[str, Any], **columns: str | None) -> Explained:
    """Return what a map with these columns makes of a recording of records with these changes."""
    messages = [schema(RECORD, keys=["id"]), *(record({**RECORD, **one}) for one in changes)]
    (made,) = inspected(*messages, maps={"orders": columns}, recorded=True)
    return made


def outcomes(counts: StreamCounts) -> dict[str, int]:
    """Return how many records have each outcome; the reasons are those of rejections."""
    found = {"sent": counts.delivered, "filtered": counts.filtered, **counts.not_sent}
    return {outcome: count for outcome, count in found.items() if count}


def test_each_record_is_counted_by_its_outcome() -> None:
    """Each record is counted by what a run would do with it; the rejections are kept."""
    made = explained(
        *({}, {"id": 2}, {"id": 9}, {"id": 0}),
        *({"id": 3, "event_time": "?"}, {"id": 4, "event_time": "!"}),
        value="value if id else int(email)",
        __filter__="id != 9",
    )
    counts = made.counts
    reasons = {"mapping_failed": 1, "invalid_event_time": 2}
    assert outcomes(counts) == {"sent": 2, "filtered": 1, **reasons}
    mapping_failed, first, second = made.rejections
    assert (mapping_failed.reason, mapping_failed.keys) == ("mapping_failed", {"id": 0})
    assert [first.columns["event_time"], second.columns["event_time"]] == ["?", "!"]
    assert counts.noted(COLUMN_EMPTY) == {"value": 2}
    assert not counts.noted(COLUMN_UNUSABLE)
    assert counts.noted(SLOW_PATH) == {EXPRESSION_FAILED: 1, "event_time": 2}
    assert describe(made, settings().events).use == "mapped"


def test_three_events_are_shown_with_shortened_hashes() -> None:
    """Each event is kept as it would be sent, and three are shown with shortened hashes."""
    made = explained(*({"id": number} for number in range(5)))
    assert len(made.conversions) == 5
    described = describe(made, settings().events)
    assert described.use == "as_it_is"
    assert described.records is not None
    examples = [bytes(example).decode() for example in described.records.examples]
    assert len(examples) == 3
    assert '"md5":"29a1df…"' in examples[0]
    assert "06a240d11cc2" not in examples[0]


def warning_codes(made: Explained) -> list[str]:
    return [warning.code for warning in describe(made, settings().events).warnings]


def test_events_with_one_id_that_differ_are_warned_of() -> None:
    """A run sends one of them, so a warning counts those that differ from it; equal rows do not."""
    made = explained({"id": 1}, {"id": 2, "value": 3}, {"id": 1}, {"id": 1, "value": 3})
    warnings = describe(made, settings().events).warnings
    (conflict,) = [warning for warning in warnings if warning.code == "event_ids_conflict"]
    said = "1 of 4 events have the event ID of an earlier one, but another"
    assert conflict.words.startswith(said)
    made = explained({"id": 1}, {"id": 2, "value": 3}, {"id": 1}, {"id": 1})
    assert "event_ids_conflict" not in warning_codes(made)
    other_pixel = {"id": 1, "value": 3, "pixel_id": 2}
    made = explained({"id": 1, "pixel_id": 1}, other_pixel, pixel_id="pixel_id")
    assert "event_ids_conflict" not in warning_codes(made)


def test_explain_warns_of_what_a_run_would_warn_of() -> None:
    """The same as a run, from the first event on; an infinity is something that cannot be used."""
    made = explained(
        {"value": float("inf"), "email": None},
        decision_id="str(id)",
        md5="get('no')",
    )
    assert made.counts.noted(COLUMN_UNUSABLE) == {"value": 1}
    assert made.counts.noted(COLUMN_EMPTY) == {"email": 1, "md5": 1}
    starts = (
        "email is empty",
        "md5 is empty",
        "value is left out of 1 of 1",
        "decision_id equals id",
    )
    warnings = describe(made, settings().events).warnings
    for warning, start in zip(warnings, starts, strict=True):
        assert warning.words.startswith(start)


def test_an_unnamed_stream_gets_only_the_advice_to_use_a_preset() -> None:
    """The map of another stream says what the user wants, so no map is proposed."""
    like_a_preset = (*EVENT, *PRESETS["stripe_charges"].signature)
    for columns, preset in ((EVENT, None), (like_a_preset, "stripe_charges")):
        (made,) = inspected(schema(columns), maps={"other": {}})
        advice = describe(made, settings().events).advice
        assert advice is None if preset is None else f"preset {preset}" in str(advice)


@each_of(
    "records, policy, code",
    {
        "the first rejection": (1, "fail", FailureCode.RECORD_REJECTED),
        "one dead letter": (1, "dead_letter", None),
        "nothing is delivered": (10, "dead_letter", FailureCode.NOTHING_DELIVERED),
    },
)
def test_a_failure_of_a_run_is_its_code_and_facts(
    records: int, policy: str, code: FailureCode | None
) -> None:
    """It is the same value as in the run's history."""
    unusable = [record({"event_time": "?", "email": ADDRESS})] * records
    failures = all_explained(schema(EVENT), *unusable, on_rejection=policy).failures
    assert [failure.code for failure in failures] == ([] if code is None else [code])
    if code is FailureCode.RECORD_REJECTED:
        assert failures[0].facts["reason"] == "invalid_event_time"


def test_a_stream_that_a_map_drops() -> None:
    """It lacks nothing, because it is not to give events, and its records are not counted."""
    (made,) = inspected(schema(["id"]), record(RECORD), maps={"orders": None})
    described = describe(made, settings().events)
    assert (made.missing, made.gives_events, described.records) == ([], False, None)
    assert (described.use, described.fields) == ("dropped", {})


def test_each_record_is_judged_by_the_schema_before_it() -> None:
    """A column that is declared later says nothing of the records before; the section is one."""
    columns = ("id", "event_time", "email")
    first, second, *_ = (record({**RECORD, "id": number, "value": 1}) for number in range(2))
    more = schema((*columns, "consent"), keys=["id"])
    (made,) = inspected(schema(columns, keys=["id"]), first, more, second, more, recorded=True)
    assert outcomes(made.counts) == {"sent": 1, "no_consent": 1}
    assert "consent" in made.plan.properties
    assert [one.event.purchase_data.value for one in made.conversions] == [1]


def test_a_schema_that_cannot_be_used() -> None:
    """A run ends there, whatever comes later; so the SCHEMA is the one that is described."""
    columns = ("id", "event_time", "email", "status")
    maps = {"orders": {"__filter__": "get('status') == 'paid'"}}
    paid = record({**RECORD, "status": "paid"})
    good, bad = schema(columns), schema((*columns[:3], "statsu"))
    (made,) = inspected(good, paid, bad, paid, good, paid, maps=maps, recorded=True)
    assert (outcomes(made.counts), made.counts.unmapped, made.is_refused) == (
        {"sent": 1, "already_sent": 1},
        1,
        True,
    )
    described = describe(made, settings().events)
    (lack,) = described.lacks
    assert lack.words == "the column 'status', which '__filter__' reads (did you mean 'statsu'?)"
    assert (described.advice or "").startswith("Correct the name in the map, or select the column")


@each_of(
    "validate, reason",
    {"validated": (True, "schema_violation"), "not validated": (False, "missing_event_time")},
)
def test_validation_is_a_setting(validate: bool, reason: str) -> None:
    """Records are validated only where a run would do it."""
    columns = {"id": {"type": "integer"}, "event_time": {}, "email": {}}
    (made,) = inspected(schema(columns), record({"id": "one"}), validate_records=validate)
    assert outcomes(made.counts) == {reason: 1}


def test_a_tap_that_goes_on_and_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After many records, nothing more is read, neither of a file nor of the input."""
    monkeypatch.setattr("target_liveintent.singer.explaining.MAX_RECORDS", 5)
    file = tmp_path / "batch.jsonl"
    file.write_text("{}\n" * 9)
    batch = {"type": "BATCH", "stream": "orders", "manifest": [file.as_uri()]}
    batch["encoding"] = {"format": "jsonl"}
    given = source([schema(["email"]), record({}), record({}), batch]).getvalue()
    found = read_input(io.StringIO(f"{given}\njunk\n"))
    assert (found.notes, len(found.records)) == (["Only the first 5 records were read."], 5)


GOOD = [schema(["event_time", "email"]), record({"event_time": time.time() - 60, "email": ADDRESS})]


def test_a_state_without_a_value() -> None:
    """A run refuses it."""
    with pytest.raises(InputError, match=r"line 3 of the input: .*STATE"):
        inspected(*GOOD, {"type": "STATE"})


def at(event_time: Any, **columns: Any) -> dict[str, Any]:
    return {"event_time": event_time, **columns}


@each_of(
    "records, expected",
    {
        "within the window": ([at(1_001_000_000), at(1_001_000_000 - 6 * DAY)], {"sent": 2}),
        "older than the window": (
            [at(1_001_000_000), at(1_001_000_000 - 7 * DAY)],
            {"sent": 1, "event_too_old": 1},
        ),
        "a time nobody can read": ([at("?")], {"invalid_event_time": 1}),
        # A row that was deleted is no event, and neither is one that the map cannot read.
        "a later one was deleted": (
            [at(1_001_000_000), at(1_009_000_000, _sdc_deleted_at="2026")],
            {"sent": 1, "deleted": 1},
        ),
        "a later one cannot be mapped": (
            [at(1_001_000_000), at(1_009_000_000, email=7)],
            {"sent": 1, "mapping_failed": 1},
        ),
        "nobody is identified": (
            [at(1_001_000_000, email=None), at(1_000_900_000, email="?")],
            {"no_identity": 2},
        ),
        "before 1970": ([at("1969-12-31T12:00:00Z", email="?")], {"no_identity": 1}),
    },
)
def test_ages_of_a_recording(records: list[dict[str, Any]], expected: dict[str, int]) -> None:
    """The newest event is the clock. To find it counts nothing."""
    messages = [schema(("id", "event_time", "email"), keys=["id"])]
    for number, given in enumerate(records):
        messages.append(record({"id": number, "email": ADDRESS, **given}))
    maps = {"orders": {"email": "email.strip() if email else None"}}
    (made,) = inspected(*messages, maps=maps, recorded=True)
    assert outcomes(made.counts) == expected
    noticed = {**made.counts.remarks, SLOW_PATH: {}}  # (Each record may take the slow path.)
    assert all({*columns.values()} <= {1} for columns in noticed.values())
    assert all({*one.values()} <= {1} for one in made.counts.causes.values())


def test_ages_of_other_input() -> None:
    """If the input is no recording, the present time decides whether an event is too old."""
    messages = [
        schema(("id", "event_time", "email"), keys=["id"]),
        record({"id": 1, "email": ADDRESS, **at(1_001_000_000)}),
    ]
    (made,) = inspected(*messages)
    assert outcomes(made.counts) == {"event_too_old": 1}


def test_findings_keep_their_codes_in_json() -> None:
    """A program that reads the JSON decides by codes and facts, whatever the words are."""
    maps = {"orders": {"email": "emial", "ip": "get('adress')"}}
    (made,) = inspected(schema(("event_time", "email", "address")), maps=maps)
    shown = msgspec.to_builtins(describe(made, settings().events))
    lack = {"code": "needed_column_absent", "stream": "orders", "column": "email", "reads": "emial"}
    hint = {"code": "similar_name", "name": "email"}
    assert shown["lacks"] == [{**lack, "hint": hint, "earlier": None}]
    assert [(one["code"], one["hint"]["name"]) for one in shown["misspelled"]] == [
        ("read_column_absent", "address")
    ]
    assert shown["fields"]["event_time"] == [
        {"code": "same_column", "value": None, "timezone": None}
    ]
    assert shown["fields"]["email"] == [{"code": "expression", "value": "emial", "timezone": None}]
