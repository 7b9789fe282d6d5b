"""`explain --against`: what two configurations make of one input."""

import contextlib
import json
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from explain_support import ACCOUNT, EVENTS, record, schema, source
from unit_support import DAY, DEFAULTS, conversion, each_of

from target_liveintent.errors import ConfigurationError, InputError
from target_liveintent.explain.comparison import Comparison, StreamComparison
from target_liveintent.explain.description import MAX_RECORDS
from target_liveintent.printing import json_text, lines_of
from target_liveintent.run_id import new_run_id
from target_liveintent.singer import comparing
from target_liveintent.singer.comparing import Configuration, compare_configurations
from target_liveintent.store.delivered_keys import DeliveredKeys
from target_liveintent.store.opening import open_store

COLUMNS = ("id", "time", "email", "value", "currency", "line")
OWN = {
    "event_id": "str(id)",
    "event_time": "time",
    "email": "email",
    "value": "value",
    "currency": "currency",
    "__else__": None,
}
DERIVED = {name: text for name, text in OWN.items() if name != "event_id"}


def sale(number: int, *, age: int = 60, stream: str = "orders", **columns: Any) -> dict[str, Any]:
    """Return a RECORD of an order of a minute ago."""
    when = int(time.time()) - age
    own = {"id": number, "time": when, "email": f"buyer{number}@example.com", "value": 12.5}
    return record({**own, "currency": "EUR", "line": 1, **columns}, stream)


def sales(count: int = 3) -> list[dict[str, Any]]:
    return [schema(COLUMNS, ["id"]), *map(sale, range(count))]


def settings(maps: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return the values of settings, with a map of the orders if no maps are given."""
    maps = {"orders": OWN} if maps is None else maps
    return {**ACCOUNT, **EVENTS, "stream_maps": maps, **changes}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


OLD, NEW = "--config", "--against new.json"


def compared(
    messages: Iterable[dict[str, Any]], old: dict[str, Any], new: dict[str, Any]
) -> Comparison:
    """Compare two configurations."""
    both = (Configuration.of(OLD, old), Configuration.of(NEW, new))
    return compare_configurations(source(messages), *both)


def orders(
    messages: Iterable[dict[str, Any]], new: dict[str, Any], old: dict[str, Any] | None = None
) -> StreamComparison:
    """Compare a configuration with the usual one; there must be nothing to note."""
    result = compared(messages, settings() if old is None else old, new)
    assert result.notes == []
    return result.streams["orders"]


def counts(result: StreamComparison) -> tuple[int, ...]:
    return (*result.events, result.gained, result.lost, result.changed_ids)


def test_without_a_difference() -> None:
    """Nothing differs, and no store is created."""
    result = orders(sales(), settings())
    assert counts(result) == (3, 3, 0, 0, 0)
    assert (result.changed, result.already_delivered, result.matchable) == ({}, None, (3, 3))
    assert [*Path().iterdir()] == []


def test_the_whole_input_is_read() -> None:
    """It may have more records than `explain` reads."""
    assert counts(orders(sales(MAX_RECORDS + 1), settings()))[:2] == (MAX_RECORDS + 1,) * 2


# The new maps of the stream, and how many events each configuration sends, are gained, are lost,
# and change their ID; there are three orders.
LEADS = {**OWN, "__source__": "orders", "event_id": "'lead-' + str(id)"}
MAPS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "another name": ({"orders": {**OWN, "__alias__": "shop"}}, (3, 3, 0, 0, 0)),
    "two events of a row": ({"orders": OWN, "leads": LEADS}, (3, 6, 3, 0, 0)),
    "only a copy": ({"leads": LEADS, "orders": None}, (3, 3, 0, 0, 3)),
    "only a copy with the same IDs": (
        {"leads": {**LEADS, "event_id": "str(id)"}, "orders": None},
        (3, 3, 0, 0, 0),
    ),
    "a pattern": ({"ord*": OWN}, (3, 3, 0, 0, 0)),
    "derived IDs": ({"orders": DERIVED}, (3, 3, 0, 0, 3)),
    "a filter": ({"orders": {**OWN, "__filter__": "id > 0"}}, (3, 2, 0, 1, 0)),
    "a filter and other IDs": (
        {"orders": {**OWN, "__filter__": "id > 0", "event_id": "'o-' + str(id)"}},
        (3, 2, 0, 1, 2),
    ),
    "a pixel for each row": ({"orders": {**OWN, "pixel_id": "id + 1"}}, (3, 3, 0, 0, 2)),
    "a consent": ({"orders": {**OWN, "consent": "id == 1"}}, (3, 1, 0, 2, 0)),
    "an expression that fails": ({"orders": {**OWN, "value": "1 / id"}}, (3, 2, 0, 1, 0)),
    "nobody to identify": ({"orders": {**OWN, "email": "email if id else None"}}, (3, 2, 0, 1, 0)),
    "no event": ({"orders": None, "__else__": None}, (3, 0, 0, 3, 0)),
}


@each_of("case", MAPS)
def test_another_map(case: tuple[dict[str, Any], tuple[int, ...]]) -> None:
    """In the opposite direction, what was gained is lost."""
    maps, expected = case
    result = compared(sales(), settings(), settings(maps)).streams["orders"]
    assert counts(result) == expected
    result = compared(sales(), settings(maps), settings()).streams["orders"]
    old, new, gained, lost, changed = expected
    assert counts(result) == (new, old, lost, gained, changed)


def test_other_keys() -> None:
    """Derived IDs change with the keys, but not if the keys are the tap's own."""
    derived = {"orders": {**DERIVED, "id": "id", "line": "line"}}
    for keys, changed in ((["id"], 0), (["id", "line"], 3)):
        maps = {"orders": {**derived["orders"], "__key_properties__": keys}}
        result = compared(sales(), settings(derived), settings(maps)).streams["orders"]
        assert counts(result) == (3, 3, 0, 0, changed)


def test_a_stream_that_only_one_configuration_maps() -> None:
    """Its events are gained or lost, and each stream is compared on its own."""
    people = {**schema(COLUMNS, ["id"]), "stream": "people"}
    messages = [*sales(), people, sale(7, stream="people"), sale(8)]
    new = settings({"people": OWN, "__else__": None})
    result = compared(messages, settings({"orders": OWN, "__else__": None}), new)
    assert {name: counts(one) for name, one in result.streams.items()} == {
        "orders": (4, 0, 0, 4, 0),
        "people": (0, 1, 1, 0, 0),
    }


ACCOUNTS = {
    "customer ID": ({"customer_id": "a-2c3d"}, "a-2c3d at conversions.liveintent.com"),
    "host": ({"api_url": "https://api.example.com"}, "a-1b2c at api.example.com"),
}


@each_of("case", ACCOUNTS)
def test_the_account_is_a_part_of_an_id(case: tuple[dict[str, Any], str]) -> None:
    changes, account = case
    result = compared(sales(), settings(), settings(**changes))
    assert counts(result.streams["orders"]) == (3, 3, 0, 0, 3)
    before = "The account changes, from a-1b2c at conversions.liveintent.com to"
    assert result.notes == [f"{before} {account}. So all event IDs count as changed"]


def test_the_pixel_is_a_part_of_an_id() -> None:
    result = orders(sales(), settings(pixel_id=2))
    assert (counts(result), result.changed) == ((3, 3, 0, 0, 3), {})
    assert result.examples.changed_ids[0].words == "0 (pixel 1) → 0 (pixel 2)"


def test_each_configuration_has_its_list_of_people() -> None:
    Path("people.txt").write_text("buyer1@example.com\n")
    result = orders(sales(), settings(suppression_path="people.txt"))
    assert counts(result) == (3, 2, 0, 1, 0)
    assert result.examples.lost == ["1"]


def test_each_configuration_validates_by_its_own_setting() -> None:
    typed = {**{column: {} for column in COLUMNS}, "value": {"type": "number"}}
    messages = [schema(typed, ["id"]), *map(sale, range(2)), sale(2, value="12.5")]
    assert counts(orders(messages, settings(validate_records=True))) == (3, 2, 0, 1, 0)


def test_repeated_schemas() -> None:
    """An event counts once, also if its row comes again after another SCHEMA."""
    more = schema((*COLUMNS, "more"), ["id"])
    messages = [*sales(), *sales(), more, *map(sale, range(4))]
    new = settings({"orders": {**OWN, "event_id": "'o-' + str(id)"}})
    assert counts(orders(messages, new)) == (4, 4, 0, 0, 4)


def test_batches(tmp_path: Path) -> None:
    """The records of BATCH messages are compared as well."""
    rows = [json.dumps(sale(number)["record"]) for number in range(3)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    batch = {
        "type": "BATCH",
        "stream": "orders",
        "encoding": {"format": "jsonl", "compression": "none"},
        "manifest": [(tmp_path / "rows.jsonl").as_uri()],
    }
    new = settings({"orders": {**OWN, "value": "value * 2"}})
    result = orders([schema(COLUMNS, ["id"]), batch, {"type": "STATE", "value": 1}], new)
    assert (counts(result), result.changed) == ((3, 3, 0, 0, 0), {"value": 3})


class Jumping:
    """A clock that goes on by eight days each time somebody looks."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def time(self) -> float:
        self.now += 8 * DAY
        return self.now


def test_both_judge_ages_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that are too old, or lie in the future, are sent by neither."""
    clock = Jumping()
    ages = [-(number + 2) * 8 * DAY + 60 for number in range(3)]
    messages = [schema(COLUMNS, ["id"]), *(sale(n, age=age) for n, age in enumerate(ages))]
    monkeypatch.setattr(comparing, "time", clock)
    assert counts(orders(messages, settings())) == (3, 3, 0, 0, 0)
    monkeypatch.undo()
    old = [schema(COLUMNS, ["id"]), *(sale(n, age=7 * DAY) for n in range(3)), sale(4)]
    result = compared(old, settings(), settings(default_source="offline"))
    assert counts(result.streams["orders"]) == (1, 4, 3, 0, 0)


def test_no_address_is_shown() -> None:
    """Neither as an ID, of which only the hash is sent, nor otherwise."""
    new = settings({"orders": {**OWN, "event_id": "email", "order_id": "email"}})
    result = compared(sales(), settings(), new)
    assert counts(result.streams["orders"]) == (3, 3, 0, 0, 3)
    shown = json_text(result) + "".join(lines_of("explain/comparison.txt", result))
    assert "example.com" not in shown


# What is noted, and what is wrong

UNMAPPED = "no stream in the input (orders) is mapped to events. The stream maps name only"
NOTES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "an unknown setting": ({"colour": "red"}, ["setting 'colour' is unknown and has no effect"]),
    "a stream that lacks a column": (
        {"stream_maps": {"orders": {"event_time": "time", "__else__": None}}},
        ["a run over this input would fail: stream 'orders' cannot produce any event"],
    ),
    "a stream without a map": (
        {"stream_maps": {"people": OWN, "__else__": None}},
        [f"a run over this input would fail: {UNMAPPED}"],
    ),
    "a rejection that fails the run": (
        {"on_rejection": "fail", "stream_maps": {"orders": {**OWN, "event_time": "'?'"}}},
        ["a run over this input would fail: a record of stream 'orders' (event ID 0, column"],
    ),
}


@each_of("case", NOTES)
def test_notes(case: tuple[dict[str, Any], list[str]]) -> None:
    """A note names the configuration that it is about."""
    changes, notes = case
    new = {**settings(), **changes}
    assert_notes(compared(sales(), settings(), new).notes, NEW, notes)
    assert_notes(compared(sales(), new, settings()).notes, OLD, notes)


def assert_notes(said: list[str], name: str, expected: list[str]) -> None:
    assert len(said) == len(expected), said
    for note, words in zip(said, expected, strict=True):
        assert note.startswith(f"{name}: {words}")


def test_too_many_rejected() -> None:
    """Each configuration is judged by its own counts."""
    new = settings({"orders": {**OWN, "event_time": "time if id > 60 else '?'"}})
    notes = compared(sales(100), settings(), new).notes
    assert len(notes) == 1
    assert notes[0].startswith(f"{NEW}: a run over this input would fail: ")
    assert counts(compared(sales(100), settings(), new).streams["orders"]) == (100, 39, 0, 61, 0)


def test_what_counts_for_too_many_rejected() -> None:
    """Filtered records do not, as in a run."""
    some = {**OWN, "__filter__": "id >= 100", "event_time": "time if id > 160 else '?'"}
    notes = compared(sales(200), settings(), settings({"orders": some})).notes
    assert [note.partition(": ")[0] for note in notes] == [NEW]


STORES: dict[str, tuple[str, str, bool]] = {
    "equal files": ("a.sqlite", "./a.sqlite", False),
    "other files": ("a.sqlite", "b.sqlite", True),
    "a file and a database": ("a.sqlite", "postgresql://me@db.example.com/shop", True),
    "equal databases": (
        "postgresql://me:one@db.example.com/shop",
        "postgresql://you:two@db.example.com/shop",
        False,
    ),
    "other databases": (
        "postgresql://me@db.example.com/shop",
        "postgresql://me@db.example.com/other",
        True,
    ),
    "other schemas": (
        "postgresql://me@db.example.com/shop",
        "postgresql://me@db.example.com/shop?options=-csearch_path%3Dother",
        True,
    ),
}


@each_of("case", STORES)
def test_another_store(case: tuple[str, str, bool]) -> None:
    """It does not know what was delivered; a note says so, and shows no password."""
    old, new, differs = case
    both = [Configuration.of("x", settings(store=store)).settings for store in (old, new)]
    notes = [*comparing.notes_on_settings(*both)]
    assert len(notes) == differs
    assert "one" not in "".join(notes).split(":")


WRONG: dict[str, dict[str, Any]] = {
    "a setting": {"pixel_id": "?"},
    "no account": {"customer_id": None},
    "a list that does not exist": {"suppression_path": "nowhere.txt"},
    "a map": {"stream_maps": {"orders": {**OWN, "value": "1 +"}}},
    "keys without a column": {"stream_maps": {"orders": {**OWN, "__key_properties__": ["zzz"]}}},
}


@each_of("changes", WRONG)
def test_a_wrong_configuration(changes: dict[str, Any]) -> None:
    """The message names the configuration, once."""
    wrong = {**settings(), **changes}
    with pytest.raises(ConfigurationError, match=f"^{NEW}: (?!.*{NEW})"):
        compared(sales(), settings(), wrong)
    with pytest.raises(ConfigurationError, match=f"^{OLD}: (?!.*{OLD})"):
        compared(sales(), wrong, settings())


def test_a_store_that_cannot_be_used() -> None:
    """Only that of the first configuration is read."""
    Path("notes.txt").write_text("no store")
    compared(sales(), settings(store="none.sqlite"), settings(store="notes.txt"))
    with pytest.raises(ConfigurationError, match=f"^{OLD}: .*cannot be used"):
        compared(sales(), settings(store="notes.txt"), settings())


def deliver(*rows: dict[str, Any]) -> None:
    """Write into the store that the events of orders were delivered."""
    given = Configuration.of(OLD, settings()).settings
    defaults = DEFAULTS._replace(pixel_id=1)
    made = [
        conversion(
            {"event_id": str(row["id"]), "event_time": row["time"], "email": row["email"]},
            now=time.time(),
            defaults=defaults,
        )
        for row in rows
    ]
    with contextlib.closing(open_store(given.storage, new_run_id())) as store:
        claimed = store.claim({0: made})[0]
        store.note_confirmed(0, claimed.mine, is_last=True)
        store.write()


def test_the_store_is_asked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked only about events whose IDs change, about each once, and about few at a time."""
    sizes, among = list[int](), DeliveredKeys.among

    def counted(delivered: DeliveredKeys, keys: Sequence[bytes]) -> Collection[bytes]:
        sizes.append(len(keys))
        return among(delivered, keys)

    monkeypatch.setattr(comparing, "_ASKED_AT_ONCE", 2)
    monkeypatch.setattr(DeliveredKeys, "among", counted)
    messages = sales(6)
    deliver(*(one["record"] for one in messages[1:4]))
    other = settings({"orders": {**OWN, "event_id": "'o-' + str(id) if id else '0'"}})
    result = orders([*messages, *messages], other)
    assert (result.changed_ids, result.already_delivered, sizes) == (5, 2, [2, 2, 1])


def test_an_input_without_messages() -> None:
    with pytest.raises(InputError, match="the input is empty"):
        compared([], settings(), settings())
