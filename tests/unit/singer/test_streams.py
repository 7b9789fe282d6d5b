"""The registry of streams: what it registers, what it refuses, and what it warns about."""

import logging
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from singer_sdk.exceptions import InvalidJSONSchema
from unit_support import ACCOUNT, sha256

from target_liveintent.config import settings_of
from target_liveintent.conversions.event_model import DEAD_LETTERS
from target_liveintent.errors import InputError, StreamMappingError
from target_liveintent.mapping.stream_maps import StreamMaps, StreamPlan
from target_liveintent.singer.reader import Message
from target_liveintent.singer.streams import RecordValidator, Stream, StreamRegistry
from target_liveintent.store.delivered import DELIVERED_EVENTS

EVENT = ("id", "event_time", "email")
DEFAULTS: dict[str, Any] = {"pixel_id": 4711, "default_source": "web"}
MAP = {"event_time": "created", "email": "mail", "__else__": "__NULL__"}


class Registering:
    """A registry, and what it has registered."""

    def __init__(
        self, maps: dict[str, Any] | None = None, presets: dict[str, str] | None = None, **more: Any
    ) -> None:
        given = {**ACCOUNT, **DEFAULTS, "stream_maps": maps, "presets": presets, **more}
        settings = settings_of(given)
        stream_maps = StreamMaps(settings.stream_maps, settings.stream_map_config, settings.presets)
        logger = logging.getLogger("test-of-streams")
        self.streams = StreamRegistry(stream_maps, settings.events, logger)
        self.plans: list[StreamPlan] = []
        self.gives_events: list[bool] = []

    def send(self, name: str, columns: Any = EVENT, keys: list[str] | None = None) -> Any:
        """Return what is registered for a SCHEMA."""
        found = self.streams.register(schema(name, columns, keys))
        for plan, gives_events in () if found is None else found[1]:
            self.plans.append(plan)
            self.gives_events.append(gives_events)
        return found


def schema(name: str | None, columns: Any = EVENT, keys: list[str] | None = None) -> Message:
    text = msgspec.json.encode({"properties": {column: {} for column in columns}})
    return Message("SCHEMA", name, schema=msgspec.Raw(text), key_properties=keys)


def test_a_schema_gives_the_stream_its_plan_and_whether_it_gives_events() -> None:
    found = Registering()
    stream, ((plan, gives_events),) = found.send("orders", keys=["id"])
    assert stream == Stream("orders", {"properties": {name: {} for name in EVENT}}, ("id",))
    assert (plan.properties, gives_events) == (EVENT, True)
    assert found.streams.has_events


def test_a_schema_again_changes_nothing() -> None:
    """The same SCHEMA registers nothing; one with other columns or keys does."""
    found = Registering()
    assert found.send("orders", keys=["id"]) is not None
    assert found.send("orders", keys=["id"]) is None
    assert found.send("orders", keys=["email"]) is not None
    assert found.send("orders", (*EVENT, "value"), keys=["email"]) is not None


NO_PROPERTIES = "the SCHEMA of stream 'o' has no properties: select at least one column in the tap"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        pytest.param(schema(None), "the SCHEMA message has no stream", id="no stream"),
        pytest.param(schema(""), "the SCHEMA message has no stream", id="an empty stream"),
        pytest.param(
            schema("a\nb"),
            "contains characters that cannot be printed",
            id="a stream with a newline",
        ),
        *(
            pytest.param(Message("SCHEMA", "o", schema=msgspec.Raw(text)), said, id=name)
            for name, text, said in [
                ("no text", b"", NO_PROPERTIES),
                ("a list of properties", b'{"properties": []}', NO_PROPERTIES),
                ("a list as schema", b"[]", "not a valid Singer message"),
                ("deep nesting", b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "nested too deeply"),
            ]
        ),
    ],
)
def test_a_malformed_schema_ends_the_run(message: Message, said: str) -> None:
    """A SCHEMA that cannot be used ends the run, and registers nothing."""
    found = Registering()
    with pytest.raises(InputError, match=said):
        found.streams.register(message)
    assert not found.streams.has_events


def test_an_error_says_what_a_wanted_stream_lacks_for_events() -> None:
    """The error says what the stream lacks, and suggests settings or a map."""
    found = Registering(default_source=None, pixel_id=None)
    with pytest.raises(StreamMappingError) as raised:
        found.send("orders")
    assert str(raised.value).endswith("source (a column, or the setting default_source).")
    with pytest.raises(StreamMappingError) as raised:
        found.send("people", ("id", "mail"))
    said = str(raised.value)
    assert "stream 'people' cannot produce any event: it lacks event_time;" in said
    assert "The stream has these columns: id, mail. A map to start from:\nstream_maps:" in said
    assert found.plans == []
    assert not found.streams.has_events


@pytest.mark.parametrize("is_in_use", [False, True])
def test_a_preset_is_advised_once(is_in_use: bool) -> None:
    """A stream that uses a preset already is not advised to use it."""
    columns = ("amount_captured", "receipt_email", "livemode", "payment_method_details")
    presets = {"charges": "stripe_charges"} if is_in_use else {}
    maps = {"charges": {"event_time": None}} if is_in_use else None
    with pytest.raises(StreamMappingError) as raised:
        Registering(presets=presets, stream_maps=maps).send("charges", columns)
    assert ("`presets: {charges: stripe_charges}`" in str(raised.value)) == (not is_in_use)


PAID = {**MAP, "__filter__": "get('status') == 'paid'", "ip": "get('statsu')"}
SHOP = ("id", "test", "cancelledAt", "processedAt", "displayFinancialStatus", "ip")


@pytest.mark.parametrize(
    ("given", "columns", "counted_as"),
    [
        pytest.param(
            {"maps": {"orders": PAID}}, ("status", "created", "mail"), "orders", id="of the filter"
        ),
        pytest.param(
            {"maps": {"paid": {**PAID, "__source__": "ord*"}}},
            ("status", "created", "mail"),
            "paid",
            id="of the filter of a copy",
        ),
        pytest.param(
            {"presets": {"orders": "shopify"}},
            ("test", *SHOP),
            "orders",
            id="test flag of a preset",
        ),
        pytest.param(
            {"presets": {"orders": "shopify"}}, ("id", *SHOP), "orders", id="key of a preset"
        ),
    ],
)
def test_a_protecting_column_that_disappears_ends_the_run(
    caplog: pytest.LogCaptureFixture, given: dict[str, Any], columns: list[str], counted_as: str
) -> None:
    """The run ends at the SCHEMA in which the first column is renamed, and says once what to do."""
    found, absent = Registering(**given), columns[0]
    found.send("orders", columns)
    assert found.gives_events[-1]
    caplog.clear()
    with pytest.raises(StreamMappingError) as raised:
        found.send("orders", [f"{name}_" if name == absent else name for name in columns])
    said = str(raised.value)
    assert f"stream '{counted_as}' cannot produce any event: it lacks the column '{absent}'" in said
    assert f"(did you mean '{absent}_'?). The stream has these columns: " in said
    assert "Correct the name in the map, or select the column in the tap. If the source" in said
    assert not any(f"'{absent}'" in line for line in caplog.messages)


MAPPED = ("created", "mail")
COPY = {**MAP, "__source__": "orders"}
SKIPPED = "stream '{}' is skipped: no stream map names it{}"
DID_YOU_MEAN = "; did you mean '{}'?"
WRONG_COLUMN = "the map of 'orders' sets 'order_no', but events have no such column"


@pytest.mark.parametrize(
    ("maps", "sent", "warnings", "gives_events"),
    [
        # A stream that no map names is skipped, with the name that may have been meant.
        pytest.param(
            {"orders": MAP},
            [("ordres", ("id", "x")), ("people", ("id",))],
            [SKIPPED.format("ordres", DID_YOU_MEAN.format("orders")), SKIPPED.format("people", "")],
            [False] * 2,
            id="a misspelled stream",
        ),
        # A stream that has come is not what the name of another one was to be.
        pytest.param(
            {"orders": MAP},
            [("orders", MAPPED), ("orders2", ("id",))],
            [SKIPPED.format("orders2", "")],
            [True, False],
            id="named like one that came",
        ),
        # A tap that changes its SCHEMA in turns is told once.
        pytest.param(
            {"orders": MAP},
            [("orders", MAPPED), *[("orders2", ("id",)), ("orders2", ("id", "x"))] * 2],
            [SKIPPED.format("orders2", "")],
            [True, *[False] * 4],
            id="the SCHEMA changes in turns",
        ),
        # A stream that only a copy uses is skipped without a warning: a map names it.
        pytest.param(
            {"copy": COPY}, [("orders", MAPPED)], [], [False, True], id="only a copy uses it"
        ),
        # Null for a stream, or for the others, drops it without a warning.
        pytest.param(
            {"orders": None, "__else__": None},
            [("orders", EVENT), ("people", EVENT), ("ordres", ("id",))],
            [],
            [False] * 3,
            id="dropped by null",
        ),
        # An unnamed stream with the columns of events gives events.
        pytest.param(
            {"orders": MAP},
            [("conversions", EVENT)],
            [],
            [True],
            id="unnamed, with columns of events",
        ),
        # A column that no event has is named.
        pytest.param(
            {"orders": {**MAP, "order_no": "id"}},
            [("orders", (*MAPPED, "id"))],
            [WRONG_COLUMN + DID_YOU_MEAN.format("order_id")],
            [True],
            id="a column no event has",
        ),
    ],
)
def test_probably_misspelled_names_are_warned_of(
    caplog: pytest.LogCaptureFixture,
    maps: dict[str, Any],
    sent: list[tuple[str, tuple[str, ...]]],
    warnings: list[str],
    gives_events: list[bool],
) -> None:
    """Streams and columns that are probably misspelled are warned of."""
    found = Registering(maps)
    for stream, columns in sent:
        found.send(stream, columns)
    assert caplog.messages == warnings
    assert found.gives_events == gives_events
    assert found.streams.has_events == any(gives_events)


def test_an_input_without_a_stream_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """The run does well, so a warning says that the tap may have failed."""
    Registering().streams.warn_at_end()
    (said,) = caplog.messages
    assert said.startswith("the input contains neither a record nor a SCHEMA. Perhaps the tap")


@pytest.mark.parametrize("stream", [DEAD_LETTERS, DELIVERED_EVENTS])
def test_streams_of_the_own_commands_are_refused(stream: str) -> None:
    """Their events would be sent again, whatever the settings say of other streams."""
    said = "use target-liveintent replay FILE, or target-liveintent replay - for standard input"
    with pytest.raises(InputError, match=said):
        Registering({"__else__": "__NULL__"}).send(stream)


# Validation of records: the place and the rule are named, and never the value

RULES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "total": {"type": "number", "multipleOf": 0.01},
        "customer": {"type": "object", "properties": {"email": {"type": "string"}}},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
        "ann@example.com": {"type": "integer"},
    },
    "required": ["id"],
}


@pytest.mark.parametrize(
    ("record", "violation"),
    [
        ({"id": 1, "total": Decimal("87.10"), "customer": {"email": "x"}, "tags": ["a"]}, None),
        ({"id": 1, "unknown": "x"}, None),
        ({"id": "ann@example.com"}, "id breaks the rule 'type'"),
        ({"id": 1, "customer": {"email": 5}}, "customer.email breaks the rule 'type'"),
        ({"id": 1, "tags": ["a", "ann@example.com"]}, "tags.1 breaks the rule 'enum'"),
        ({}, "the record breaks the rule 'required'"),
        # A column can have the name of a person.
        ({"id": 1, "ann@example.com": "x"}, f"{sha256('ann@example.com')} breaks the rule 'type'"),
    ],
    ids=["right", "unknown", "value", "inner", "item", "missing", "address"],
)
def test_a_violation_is_named_by_its_place_and_rule(
    record: dict[str, Any], violation: str | None
) -> None:
    """The first violation is named by its place and its rule."""
    assert RecordValidator(RULES).violation(record) == violation


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "text"},
        {"properties": {"id": 5}},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file://{}/schema.json"},
    ],
    ids=["type", "properties", "remote", "file"],
)
def test_an_unusable_schema_ends_the_run_and_nothing_is_fetched(
    schema: dict[str, Any], tmp_path: Path
) -> None:
    """A schema that is wrong, or refers to another place, ends the run; nothing is fetched."""
    (tmp_path / "schema.json").write_text("{}")
    if "$ref" in schema:
        schema = {"$ref": schema["$ref"].format(tmp_path)}
    with pytest.raises(InvalidJSONSchema, match="the tap's SCHEMA is not a valid JSON schema"):
        RecordValidator(schema)


def test_a_run_loads_only_the_libraries_that_it_needs() -> None:
    """Without presets, validation, a report and metrics, a run loads nothing of what these need.

    What its end needs is loaded at its start: later, the files may be gone.
    """
    needed = {f"target_liveintent.reporting.{name}" for name in ("history", "rules")}
    needed |= {"target_liveintent.run.summary"}
    names = {"yaml", "jsonschema_rs", "jinja2", "prometheus_client", "tqdm"}
    names |= {f"target_liveintent.{name}" for name in ("explain", "spark", "store.postgres")}
    names |= {"target_liveintent.reporting.page", "target_liveintent.mapping.proposals"}
    code = "from sys import modules; import target_liveintent.cli; there = {*modules}; "
    code += f"print({names} & there, {needed} - there)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set() set()"
