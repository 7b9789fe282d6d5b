"""The exit code of `--explain`: it fails where a run over the same input would fail."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import SETTINGS, lines, order, orders, schema, state

if TYPE_CHECKING:
    from integration_support import Launcher, Message, Running

MAP = {"event_id": "str(id)", "event_time": "event_time", "email": "email", "__else__": None}


def explain(target: Launcher, *messages: Message | str, **settings: Any) -> Running:
    path = target.folder / "explain.json"
    path.write_text(json.dumps(SETTINGS | settings))
    source = target.folder / "explain.singer"
    source.write_bytes(lines(messages))
    options = ("--config", str(path), "--explain", "--input", str(source))
    return target.command(*options, forks=target.forks).wait()


INPUTS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "good": ([schema(), *orders(3), state(1)], {}),
    "empty": ([], {}),
    "a stream that is refused": ([schema("orders", ("id", "name"))], {}),
    "a setting that it lacks": ([schema()], {"default_source": None}),
    "refused next to a good one": ([schema(), *orders(2), schema("people", ("id", "name"))], {}),
    "a second schema that is refused": ([schema(), *orders(2), schema(columns=("id",))], {}),
    "no stream that gives events": (
        [schema("people", ("id",)), order(1, "people")],
        {"stream_maps": {"orders": MAP}},
    ),
    "one stream that gives events": (
        [schema("people", ("id",)), order(1, "people"), schema(), order(1)],
        {"stream_maps": {"orders": MAP}},
    ),
    "all streams are dropped": (
        [schema(), order(1)],
        {"stream_maps": {"orders": None, "__else__": None}},
    ),
    "no record of a stream without events": (
        [schema("people", ("id",))],
        {"stream_maps": {"orders": MAP}},
    ),
    "a misspelled column": (
        [schema(), order(1)],
        {"stream_maps": {"orders": {**MAP, "ip": "zzz"}}},
    ),
    "a map that does not fit": (
        [schema(), order(1)],
        {"stream_maps": {"orders": {**MAP, "__alias__": "1 / 0"}}},
    ),
    "a rejection that ends the run": (
        [schema(), order(1, event_time="?")],
        {"on_rejection": "fail"},
    ),
    "a drop that does not end the run": (
        [schema(columns=("id", "event_time", "email", "consent")), order(1, consent=False)],
        {"on_rejection": "fail"},
    ),
    "too many dead letters": ([schema(), *orders(40), *orders(99, event_time="?")], {}),
    "as many as are allowed": (
        [schema(), *orders(40), *orders(99, event_time="?")],
        {"max_dead_letter_percent": 100},
    ),
    "too many next to records that no map names, or drops": (
        [
            *(schema(), *orders(40), *orders(99, event_time="?")),
            *(schema("people", ("id",)), *(order(n, "people") for n in range(200))),
            *(schema("pages", ("id",)), *(order(n, "pages") for n in range(200))),
        ],
        {"stream_maps": {"orders": MAP, "pages": None, "__else__": None}},
    ),
    "a record before its schema": ([schema(), order(1, "people")], {}),
    "a schema without properties": (
        [schema(), {"type": "SCHEMA", "stream": "people", "schema": {"type": "object"}}],
        {},
    ),
    "a STATE without a value": ([schema(), order(1), {"type": "STATE"}], {}),
    "an unknown type": ([schema(), {"type": "ORDER"}], {}),
    "a line that is no message": ([schema(), "no JSON\n"], {}),
    "a batch file that is not there": (
        [
            schema(),
            {
                "type": "BATCH",
                "stream": "orders",
                "encoding": {"format": "jsonl"},
                "manifest": ["file:///nowhere/batch.jsonl"],
            },
        ],
        {},
    ),
    "versions": ([schema(), {"type": "ACTIVATE_VERSION", "stream": "orders"}, order(1)], {}),
    "Meltano's test": (
        [schema("meltano_test_stream", ("id",)), order(1, "meltano_test_stream")],
        {},
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_exit_code(target: Launcher, name: str) -> None:
    """The exit code of an explanation is 1 where that of a run is, and says why."""
    messages, settings = INPUTS[name]
    run = target.run(*messages, **settings)
    assert run.code in {0, 1}, run.log
    explained = explain(target, *messages, **settings)
    assert explained.code == run.code, explained.stdout + explained.log
    if run.code == 1:
        why = explained.stdout + explained.log
        assert "A run over this input would fail: " in why or explained.last_line in run.last_line


def test_one_reason_for_one_mistake(target: Launcher) -> None:
    """A stream that a run refuses is the reason; that no other gives events is not said too."""
    messages, settings = INPUTS["a stream that is refused"]
    explained = explain(target, *messages, order(1), **settings)
    assert explained.stdout.count("A run over this input would fail: ") == 1


def test_the_reason_is_that_of_the_run(target: Launcher) -> None:
    """The line begins as the last line of the run does."""
    messages, settings = INPUTS["no stream that gives events"]
    run = target.run(*messages, **settings)
    explained = explain(target, *messages, **settings)
    assert explained.stdout.endswith(f"A run over this input would fail: {run.last_line}")


@pytest.mark.parametrize("mapped", [True, False])
def test_a_catalog(target: Launcher, mapped: bool) -> None:
    """Of a catalog, at least one stream must give events: there are no records to wait for."""
    entry = {"tap_stream_id": "orders", "schema": schema()["schema"], "key_properties": ["id"]}
    maps = {"orders" if mapped else "sales": MAP, "__else__": None}
    explained = explain(target, json.dumps({"streams": [entry]}) + "\n", stream_maps=maps)
    assert explained.code == (0 if mapped else 1)


def test_batch_files_are_read(target: Launcher) -> None:
    """Records that come in files are explained like others."""
    path = target.folder / "batch.jsonl"
    path.write_text("".join(f"{json.dumps(order(n)['record'])}\n" for n in range(3)))
    batch = {"type": "BATCH", "stream": "orders", "encoding": {"format": "jsonl"}}
    explained = explain(target, schema(), {**batch, "manifest": [path.as_uri()]})
    assert explained.code == 0
    assert "Of 3 records, 3 would be sent" in explained.stdout
    assert path.exists()


def test_a_schema_that_changes(target: Launcher) -> None:
    """Records after another SCHEMA have its columns, and are counted with those before."""
    few = ("id", "event_time", "email")
    explained = explain(target, schema(columns=few), order(1), schema(), order(2))
    assert "Of 2 records, 2 would be sent" in explained.stdout
    assert "1 conversion in USD, average value 12.50" in explained.stdout


# The settings alone


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "The settings are fine."),
        ({"stream_maps": {"orders": MAP}}, "The settings are fine."),
        ({"customer_id": None}, "The settings are fine; a run also needs customer_id."),
        (
            {"customer_id": None, "auth_token": None},
            "The settings are fine; a run also needs customer_id and auth_token.",
        ),
    ],
)
def test_only_settings(target: Launcher, settings: dict[str, Any], said: str) -> None:
    """Without an input, the settings are checked, and it says that they are fine."""
    explained = explain(target, **settings)
    assert (explained.code, explained.stdout) == (0, said)


def test_only_settings_of_which_one_is_unknown(target: Launcher) -> None:
    """What is fine is what is left without it."""
    explained = explain(target, pixl_id=5)
    first, second = explained.stdout.splitlines()
    assert "'pixl_id' is unknown" in first
    assert second == "The other settings are fine."


def test_wrong_settings(target: Launcher) -> None:
    """Nothing is fine then, and the exit code is 2."""
    explained = explain(target, pixel_id="x")
    assert (explained.code, explained.stdout) == (2, "")


# Amounts


def test_amounts(target: Launcher) -> None:
    """Each currency has its figures, and what is wrong with amounts is a WARNING."""
    changes: list[dict[str, Any]] = [
        *({"value": 10, "currency": "EUR"}, {"value": 30, "currency": "EUR"}, {"value": "1,5"}),
        {"value": 5_000, "currency": "EUR", "event_time": int(time.time()) - 90 * 86_400},
        {"value": 5, "currency": "EURO"},
    ]
    explained = explain(target, schema(), *(order(n, **one) for n, one in enumerate(changes)))
    said = [line.strip() for line in explained.stdout.splitlines()]
    assert (
        "2 conversions in EUR, average value 20.00, lowest value 10.00, highest value 30.00."
        in said
    )
    warnings = [line.partition("WARNING: ")[2] for line in said if "WARNING" in line]
    assert [warning[:30] for warning in warnings] == [
        "the column 'value' of 1 record",
        "the currency of 1 record is no",
        "in 1 conversion, the value has",
    ]
