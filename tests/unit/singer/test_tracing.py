"""What `trace` makes of the store's answers and of the records of an input, without a store."""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit_support import ADDRESS, NOW, SHA2, TIME, each_of

from target_liveintent.config import settings_of
from target_liveintent.conversions.event_model import DAY
from target_liveintent.errors import InputError
from target_liveintent.explain.record_walk import RecordNow
from target_liveintent.explain.trace import (
    TraceFacts,
    TraceOutcome,
    WalkedRecord,
    traced,
)
from target_liveintent.mapping.stream_maps import StreamMaps
from target_liveintent.printing import json_text, lines_of
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.run.replay_converter import ReplayChoice, ReplayConverter
from target_liveintent.settings import Settings
from target_liveintent.singer.streams import RecordRules
from target_liveintent.singer.tracing import FoundRecord, InputRules, find_records, trace_ids
from target_liveintent.store.opening import empty_store
from target_liveintent.store.search import (
    ArrivedEvent,
    EventName,
    EventWithoutOutcome,
    FoundEvent,
    KeptDelivery,
    LetterFound,
    ReservedEvent,
    SoughtId,
    StoreScope,
)

GIVEN = {"customer_id": "a-1b2c", "auth_token": "made-up-token", "pixel_id": 1}
GIVEN |= {"default_source": "web"}
END = int(NOW) + 3_600

# What the store's answers mean

NAME = EventName("orders", 1, "7")
LETTER = {
    "event_id": "7",
    "event_time": TIME,
    "sha2": SHA2,
    "all_hashes": [SHA2],
    "source": "web",
    "pixel_id": 1,
    "reason": "refused_by_api",
    "field": None,
    "stream": "orders",
    "run_id": "run-of-letter",
}
ARRIVED = ArrivedEvent(NAME, "run-1")
DEAD = LetterFound(NAME, "run-2", END, LETTER)
ALIVE, KILLED = (ReservedEvent(NAME, "run-3", is_alive, END) for is_alive in (True, False))
WAITS = EventWithoutOutcome(NAME, END)


def facts(**changes: Any) -> TraceFacts:
    """Return the facts of a command without an input."""
    settings = settings_of(GIVEN)
    replay = ReplayConverter(
        settings.account, settings.events, Suppressions(None), ReplayChoice(), lambda: NOW
    )
    scope = StoreScope(("orders",), (1,), NOW - 9 * DAY)
    return TraceFacts(scope, False, False, replay, NOW)._replace(**changes)


@each_of(
    "events, outcomes",
    {
        "arrived": ([ARRIVED], "arrived"),
        "sent by two runs": ([ARRIVED, ARRIVED._replace(run_id="run-9")], "arrived arrived"),
        "arrived, and sent again now": ([ARRIVED, ALIVE], "arrived"),
        "arrived, and an old reservation": ([ARRIVED, KILLED], "arrived"),
        "arrived, then refused when it was sent again": ([DEAD, ARRIVED], "arrived dead_letter"),
        "a letter": ([DEAD], "dead_letter"),
        "a letter that a replay sends": ([DEAD, ALIVE], "on_its_way"),
        "a letter whose replay was killed": ([DEAD, KILLED], "dead_letter"),
        "on its way": ([ALIVE], "on_its_way"),
        "waited, and on its way again": ([ALIVE, WAITS], "on_its_way"),
        "killed": ([KILLED], "interrupted"),
        "failed": ([WAITS], "interrupted"),
        "killed after a failure": ([KILLED, WAITS], "interrupted"),
        "killed, too old": ([KILLED._replace(window_end=int(NOW))], "expired"),
        "failed, too old": ([WAITS._replace(window_end=int(NOW))], "expired"),
        "failed, just in time": ([WAITS._replace(window_end=int(NOW) + 1)], "interrupted"),
        "two events": (
            [ARRIVED, WAITS._replace(name=NAME._replace(pixel_id=2))],
            "arrived interrupted",
        ),
        "nothing": ([], "unknown"),
    },
)
def test_the_outcome_of_an_event(events: list[FoundEvent], outcomes: str) -> None:
    answers = traced(SoughtId("7"), events, [], facts())
    assert [answer.outcome.value for answer in answers] == outcomes.split()
    assert all(answer.words and answer.id == "7" for answer in answers)


@each_of(
    "changes, outcome",
    {
        "nobody can know": ({}, "unknown"),
        "delivered events are kept": ({"keeps_delivered": True}, "never_seen"),
        "the input lacks it": ({"has_input": True}, "never_seen"),
        "there was no run": ({"scope": StoreScope((), ())}, "never_seen"),
    },
)
def test_an_id_without_an_event(changes: dict[str, Any], outcome: str) -> None:
    (answer,) = traced(SoughtId("7"), [], [], facts(**changes))
    assert answer.outcome == TraceOutcome(outcome)
    names_both = "keep_delivered" in answer.words and "--input" in answer.words
    assert names_both == (outcome == "unknown")
    says_how_far_back = "2026-07-23" in answer.words
    assert says_how_far_back == (facts(**changes).scope.first_run is not None)


@each_of(
    "changes, prospect, command",
    {
        "refused": ({}, "sends", "replay"),
        "unconfirmed": ({"reason": "api_error"}, "leaves_out", "replay --unconfirmed"),
        "another pixel": (
            {"written_for": {"customer_id": "b-9z9z"}},
            "other_account",
            "replay --other-accounts",
        ),
        "too old": ({"event_time": TIME - 9 * DAY}, "expired", "dead-letters"),
        "no time": ({"event_time": "soon"}, "cannot_send", "dead-letters"),
        "no consent": ({"consent": False}, "dropped", "dead-letters"),
        "a reason of tomorrow": ({"reason": "x"}, "sends", "replay"),
    },
)
def test_what_to_do_about_a_dead_letter(
    changes: dict[str, Any], prospect: str, command: str
) -> None:
    letter = DEAD._replace(columns={**LETTER, **changes})
    if changes.get("consent") is False:
        letter = letter._replace(columns={**letter.columns, "consent": False})
    (answer,) = traced(SoughtId("7"), [letter], [], facts())
    assert answer.outcome is TraceOutcome.DEAD_LETTER
    assert answer.letter is not None
    assert answer.letter.replay == prospect
    assert answer.command == f"target-liveintent {command}"
    assert answer.run == "run-2"
    assert (answer.to_do is None) == (answer.reason == "x")


def test_the_odd_value_of_a_dead_letter() -> None:
    """The value of the column at fault, cut if it is long, and without an address."""
    for value, shown in (
        ("soon", "soon"),
        (7, "7"),
        (True, True),
        ({"a": [ADDRESS]}, None),
        ("x" * 900, "x" * 300),
    ):
        columns = {**LETTER, "field": "currency", "currency": value, "detail": ADDRESS}
        (answer,) = traced(SoughtId("7"), [DEAD._replace(columns=columns)], [], facts())
        assert answer.letter is not None
        assert answer.letter.field == "currency"
        assert "@" not in str(answer)
        assert answer.letter.odd_value == shown or shown is None
    del columns["currency"]
    (answer,) = traced(SoughtId("7"), [DEAD._replace(columns=columns, run_id=None)], [], facts())
    assert answer.letter is not None
    assert (answer.letter.odd_value, answer.run) == (None, "run-of-letter")


def test_the_words_of_a_delivered_event() -> None:
    """The time, the value and the currency; a value without a currency says so."""
    kept = KeptDelivery(NOW, TIME, "web", "A-7", "12.50", "EUR", None, SHA2)
    (answer,) = traced(SoughtId("7"), [ARRIVED._replace(kept=kept)], [], facts())
    said = "It arrived at pixel 1 on 2026-08-01 16:00:00 UTC, 12.50 EUR: sent by run run-1."
    assert answer.words == said
    bare = ARRIVED._replace(run_id=None, kept=kept._replace(currency=None))
    (answer,) = traced(SoughtId("7"), [bare], [], facts())
    assert "12.50 (no currency): sent by a run that the history no longer has" in answer.words


def test_a_record_belongs_to_its_event(tmp_path: Path) -> None:
    """The answer of the store comes first, and has what a run would do with the record now."""
    (record,) = walks(tmp_path, {"id": 7})
    walked = record.walked._replace(event_id="7")
    (answer,) = traced(SoughtId("7"), [ARRIVED], [walked], facts(has_input=True))
    assert answer.outcome is TraceOutcome.ARRIVED
    assert answer.now is walked.now
    shown = lines_of("explain/trace.txt", [answer])
    assert "    result         would not be sent again (already_sent)" in shown
    other = walked._replace(pixel_id=2)
    first, second = traced(SoughtId("7"), [ARRIVED], [other], facts(has_input=True))
    assert (first.outcome, first.now) == (TraceOutcome.ARRIVED, None)
    assert (second.outcome, second.pixel_id) == (TraceOutcome.NEVER_SEEN, 2)
    assert second.words.startswith(
        "The store has never seen it. The input has its record, which a run would send now. "
    )
    assert "    result         would be sent" in lines_of("explain/trace.txt", [first, second])


# The way of a record

MAP = {
    "__filter__": "get('status') != 'pending' and get('customer.email') != ''",
    "event_time": "at",
    "email": "get('customer.email')",
    "value": "12 / int(total)",
    "order_id": "get('name')",
    "source_url": "get('page')",
    "__else__": None,
}
COLUMNS = ("id", "at", "customer", "total", "name", "page", "status", "consent", "_sdc_deleted_at")
RECORD = {
    "id": 7,
    "at": TIME,
    "customer": {"email": ADDRESS, "name": "Jo"},
    "total": 4,
    "name": "#7",
    "status": "paid",
}


def how(folder: Path, **changes: Any) -> tuple[Settings, InputRules]:
    """Return settings, and the rules of an input with these settings."""
    (folder / "people.txt").write_text("listed@example.com\n")
    settings = settings_of({**GIVEN, "stream_maps": {"orders": MAP}, **changes})
    maps = StreamMaps(settings.stream_maps, settings.stream_map_config, settings.presets)
    people = Suppressions(settings.suppression_path)
    rules = RecordRules(settings.events, people, settings.validate_records, "dead_letter")
    return settings, InputRules(maps, rules, settings.account)


def source(
    records: Iterable[dict[str, Any]],
    keys: Iterable[str] = ("id",),
    columns: Iterable[str] = COLUMNS,
) -> io.StringIO:
    """Return the output of a tap."""
    schema = {"properties": {column: {} for column in columns}}
    messages = [{"type": "SCHEMA", "stream": "orders", "schema": schema, "key_properties": [*keys]}]
    messages += [{"type": "RECORD", "stream": "orders", "record": record} for record in records]
    return io.StringIO("\n".join(map(json.dumps, messages)))


def walks(
    folder: Path, *records: dict[str, Any], ids: Iterable[str] = ("7",), **changes: Any
) -> list[FoundRecord]:
    """Return the records of an input that have an ID; they are complete but for these columns."""
    _, rules = how(folder, **changes)
    given = source({**RECORD, **record} for record in records)
    return find_records(given, [SoughtId(text) for text in ids], rules, lambda: NOW)


def walk(folder: Path, record: dict[str, Any] | None = None, **changes: Any) -> RecordNow:
    """Return the way of one record."""
    (found,) = walks(folder, record or {}, **changes)
    return found.walked.now


def test_the_steps_of_a_record(tmp_path: Path) -> None:
    """The filter and what it read, each column, and the event; the address is a hash."""
    now = walk(tmp_path)
    assert now.filter is not None
    assert now.filter.read == {"status": "paid", "customer.email": SHA2}
    assert now.filter.passes is True
    columns = {column.column: column for column in now.columns}
    assert columns["email"].value == SHA2
    assert columns["email"].sources[0].value == "get('customer.email')"
    assert (columns["value"].value, columns["value"].failed) == ("3.0", None)
    assert columns["event_id"].sources[0].code == "key_properties"
    assert columns["pixel_id"].sources[0].code == "pixel_id_setting"
    assert (now.age.event_time, now.age.is_open) == ("2026-07-31T12:13:20Z", True)
    assert now.event is not None
    event = json.loads(bytes(now.event))
    assert event["userData"]["sha2"] == SHA2
    assert event["purchaseData"] == {"value": 3.0, "orderId": "#7"}
    assert (now.result, now.reason, now.consent, now.suppression) == ("sent", None, None, None)


@each_of(
    "record, changes, outcome",
    {
        "filtered": ({"status": "pending"}, {}, ("left_out", "filtered", None)),
        "a failed expression": ({"total": 0}, {}, ("dead_letter", "mapping_failed", "value")),
        "too old": ({"at": TIME - 9 * DAY}, {}, ("dead_letter", "event_too_old", "event_time")),
        "in the future": (
            {"at": TIME + 9 * DAY},
            {},
            ("dead_letter", "event_in_future", "event_time"),
        ),
        "no person": ({"customer": {}}, {}, ("dead_letter", "no_identity", None)),
        "no consent": ({"consent": "no"}, {}, ("left_out", "no_consent", "consent")),
        "deleted": ({"_sdc_deleted_at": "2026"}, {}, ("left_out", "deleted", "_sdc_deleted_at")),
        "dropped stream": ({}, {"stream_maps": {"orders": None}}, ("left_out", "filtered", None)),
        "other streams": (
            {},
            {"stream_maps": {"carts": {}, "__else__": None}},
            ("left_out", "unmapped", None),
        ),
        "lacks": (
            {},
            {"stream_maps": {"orders": {"email": "name"}}},
            ("left_out", "unmapped", None),
        ),
    },
)
def test_what_a_run_would_do(
    tmp_path: Path,
    record: dict[str, Any],
    changes: dict[str, Any],
    outcome: tuple[str, str, str | None],
) -> None:
    now = walk(tmp_path, record, **changes)
    assert (now.result, now.reason, now.field) == outcome
    assert now.meaning
    assert now.event is None
    assert "@" not in msgspec.json.encode(now).decode()


def test_a_failed_expression_ends_the_way(tmp_path: Path) -> None:
    """Later columns are not shown, and the failed one has the class of its exception."""
    now = walk(tmp_path, {"total": 0})
    assert [(one.column, one.failed) for one in now.columns if one.failed] == [
        ("value", "ZeroDivisionError")
    ]
    assert "order_id" not in {one.column for one in now.columns}
    broken = walk(tmp_path, stream_maps={"orders": {**MAP, "__filter__": "name > 5"}})
    assert broken.filter is not None
    assert (broken.filter.passes, broken.filter.read) == (None, {"name": "#7"})


def test_the_list_of_people(tmp_path: Path) -> None:
    path = {"suppression_path": str(tmp_path / "people.txt")}
    for email, said, result in (
        (ADDRESS, "not_listed", "sent"),
        ("Listed@example.com", "suppressed", "left_out"),
        ("jane@@example.com", "not_compared", "dead_letter"),
    ):
        now = walk(tmp_path, {"customer": {"email": email}}, **path)
        assert (now.suppression, now.result) == (said, result)


def test_values_without_addresses(tmp_path: Path) -> None:
    """In nested objects, in names of columns, in URLs, in expressions, and unreadable ones."""
    odd = {f"{ADDRESS}": {f"x {ADDRESS}": [{"deep": f"mailto:{ADDRESS}"}]}}
    maps = {
        **MAP,
        "__filter__": f"get('status') != {ADDRESS!r} and get('name') and customer and get('page')"
        f" and coalesce(get({ADDRESS!r}), 1)",
        "app_bundle": f"get('{ADDRESS}')",
        "order_id": "str(customer)",
        "user_agent": "get('name')",
    }
    record = {
        "name": odd,
        "page": f"https://u:s3cr3t@shop.example/?mail={ADDRESS}&token=s3cr3t-token&a=1",
        "customer": {"email": f"<{ADDRESS}", "note": ADDRESS},
        ADDRESS: ADDRESS,
    }
    (found,) = walks(tmp_path, record, stream_maps={"orders": maps})
    settings, _ = how(tmp_path, stream_maps={"orders": maps})
    given = source([{**RECORD, **record}])
    answers = trace_ids([ADDRESS, "7"], empty_store(), settings, given, lambda: NOW)
    shown = [json_text(answers), *lines_of("explain/trace.txt", answers)]
    for text in (msgspec.json.encode(found.walked.now).decode(), *shown):
        lowered = text.lower()
        for word in ("gmail.com", "john.doe", "s3cr3t"):
            assert word not in lowered, text
    assert found.walked.now.filter is not None
    assert "x" in str(found.walked.now.filter.read["name"])


def test_strange_values(tmp_path: Path) -> None:
    """Numbers that JSON lacks, long texts, and what a helper cannot read."""
    maps = {
        **MAP,
        "value": "minor_units(get('total'), 'EUR')",
        "order_id": "10 ** 400",
        "app_bundle": "'y' * 400",
        "user_agent": "[1.5, {'a': None}]",
    }
    now = walk(tmp_path, {"total": "x"}, stream_maps={"orders": maps})
    values = {column.column: column.value for column in now.columns}
    assert "is not a whole number" in values["value"]
    assert values["order_id"] == "(a value of the type int)"
    assert values["app_bundle"] == f"{'y' * 300}…"
    assert values["user_agent"] == ["1.5", {"a": None}]
    assert json_text(now)


@each_of(
    "keys, record, sought",
    {
        "a key": (("id",), {}, "7"),
        "a part of a key": (("name", "id"), {}, "#7"),
        "another part": (("name", "id"), {}, "7"),
        "the order ID": (("total",), {}, "#7"),
        "a number as text": (("id",), {"id": 7.0}, "7"),
        "an address": (("name",), {"name": "Jane@Example.com"}, "mailto:jane@example.com"),
        "in capitals": (("name",), {"name": "jane@example.com"}, "JANE@example.com"),
        "in percent codes": (("name",), {"name": "jane@example.com"}, "jane%40example.com"),
    },
)
def test_what_finds_a_record(
    tmp_path: Path, keys: tuple[str, ...], record: dict[str, Any], sought: str
) -> None:
    _, rules = how(tmp_path)
    other = {**RECORD, "id": 8, "name": "#8", "total": 3}
    given = source([other, {**RECORD, **record}, other], keys)
    (found,) = find_records(given, [SoughtId("nothing"), SoughtId(sought)], rules, lambda: NOW)
    assert found.place == 1
    assert found.sought is not None
    assert found.sought.event_id == found.walked.event_id


def test_a_derived_id_finds_the_record(tmp_path: Path) -> None:
    """Of the keys, of mapped keys, or of the whole record; also if the filter drops the record."""
    for keys, changes, status in (
        (("id", "name"), {}, "paid"),
        (("id", "name"), {}, "pending"),
        (("id",), {"__key_properties__": ["order_id"]}, "paid"),
        (("id",), {"__key_properties__": ["order_id"]}, "pending"),
        ((), {}, "paid"),
    ):
        _, rules = how(tmp_path, stream_maps={"orders": {**MAP, **changes}})
        records = [{**RECORD, "status": "paid"}, {**RECORD, "id": 8, "name": "#8"}]
        first, _ = find_records(
            source(records, keys), [SoughtId("#7"), SoughtId("#8")], rules, lambda: NOW
        )
        event_id = str(first.walked.event_id)
        again = source([{**records[0], "status": status}, records[1]], keys)
        (found,) = find_records(again, [SoughtId(event_id)], rules, lambda: NOW)
        assert found.walked.event_id == event_id
        assert found.walked.now.result == ("sent" if status == "paid" else "left_out")


def test_the_telling_one_of_several_records(tmp_path: Path) -> None:
    """The first one that is sent, or else the last one."""
    versions = [{"status": "pending"}, {"total": 4}, {"total": 3}]
    (found,) = walks(tmp_path, *versions)
    assert (found.walked.now.result, found.walked.now.records) == ("sent", 3)
    values = {column.column: column.value for column in found.walked.now.columns}
    assert values["value"] == "3.0"
    (found,) = walks(tmp_path, {"total": 0}, {"status": "pending"})
    assert (found.walked.now.reason, found.walked.now.records) == ("filtered", 2)


def test_copies_of_a_stream(tmp_path: Path) -> None:
    """A record goes through each map of its stream."""
    copy = {**MAP, "__source__": "orders", "pixel_id": "'5'", "__filter__": "total > 100"}
    both = walks(tmp_path, {}, stream_maps={"orders": MAP, "large": copy})
    assert [(one.walked.now.counted_as, one.walked.now.result) for one in both] == [
        ("orders", "sent"),
        ("large", "left_out"),
    ]


def test_records_that_break_the_schema(tmp_path: Path) -> None:
    _, rules = how(tmp_path, validate_records=True)
    types: dict[str, Any] = {name: {} for name in COLUMNS}
    schema = {"properties": types | {"id": {"type": "string"}}}
    message = {"type": "SCHEMA", "stream": "orders", "schema": schema, "key_properties": ["id"]}
    record = {"type": "RECORD", "stream": "orders", "record": RECORD}
    given = io.StringIO(f"{json.dumps(message)}\n{json.dumps(record)}\n")
    (found,) = find_records(given, [SoughtId("7")], rules, lambda: NOW)
    assert (found.walked.now.result, found.walked.now.reason) == ("dead_letter", "schema_violation")


def test_an_input_without_a_schema(tmp_path: Path) -> None:
    _, rules = how(tmp_path)
    with pytest.raises(InputError, match="no SCHEMA"):
        find_records(io.StringIO(""), [SoughtId("7")], rules, lambda: NOW)


def test_the_text(tmp_path: Path) -> None:
    """It begins with a sentence for each answer; no value of a record can begin a line."""
    settings, _ = how(tmp_path)
    given = source([{**RECORD, "status": "paid\nforged: line"}])
    answers = trace_ids(["7", "8", "7"], empty_store(), settings, given, lambda: NOW)
    assert [answer.id for answer in answers] == ["7", "8"]
    text = lines_of("explain/trace.txt", answers)
    assert text[0] == f"7 (orders): {answers[0].words}"
    assert text[1] == f"8: {answers[1].words}"
    assert '      status = "paid\\nforged: line"' in text
    assert not any(line.startswith("forged") for line in text)
    assert f"    email          get('customer.email') = \"{SHA2}\"" in text


def test_walked_records_have_no_address_in_their_repr(tmp_path: Path) -> None:
    (found,) = walks(tmp_path, {})
    assert isinstance(found.walked, WalkedRecord)
    assert "@" not in repr(found)
