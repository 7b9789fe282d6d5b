"""The exit code of `explain`: it fails where a run over the same input would fail."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import batch, lines, order, orders, schema, state

if TYPE_CHECKING:
    from integration_support import Launcher

MAP = {"event_id": "str(id)", "event_time": "event_time", "email": "email", "__else__": None}
ONLY_ORDERS = {"stream_maps": {"orders": MAP}}
NO_ORDERS = {"stream_maps": {"orders": None, "__else__": None}}
FAIL = {"on_rejection": "fail"}
PEOPLE = schema("people", ("id",))
ONE = [schema(), order(1)]
MANY_BAD = [schema(), *orders(40), *orders(99, event_time="?")]

INPUTS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "good": ([schema(), *orders(3), state(1)], {}),
    "a stream that is refused": ([schema("orders", ("id", "name"))], {}),
    "a setting that it lacks": ([schema()], {"default_source": None}),
    "a second schema that is refused": ([schema(), *orders(2), schema(columns=("id",))], {}),
    "no stream that gives events": ([PEOPLE, order(1, "people")], ONLY_ORDERS),
    "all streams are dropped": (ONE, NO_ORDERS),
    "a misspelled column": (ONE, {"stream_maps": {"orders": {**MAP, "ip": "zzz"}}}),
    "a rejection that ends the run": ([schema(), order(1, event_time="?")], FAIL),
    "a drop that does not end the run": (
        [schema(columns=("id", "event_time", "email", "consent")), order(1, consent=False)],
        FAIL,
    ),
    "too many dead letters": (MANY_BAD, {}),
    "as many as are allowed": (MANY_BAD, {"max_dead_letter_percent": 100}),
    "a record before its schema": ([schema(), order(1, "people")], {}),
    "a line that is no message": ([schema(), "no JSON\n"], {}),
    "a batch file that is not there": ([schema(), batch("file:///nowhere/batch.jsonl")], {}),
    "versions": ([schema(), {"type": "ACTIVATE_VERSION", "stream": "orders"}, order(1)], {}),
    "Meltano's test": (
        [schema("meltano_test_stream", ("id",)), order(1, "meltano_test_stream")],
        {},
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_exit_code(target: Launcher, name: str) -> None:
    """The exit code of an explanation is 1 where that of a run is, and it says why."""
    messages, settings = INPUTS[name]
    run = target.run(*messages, **settings)
    assert run.code in {0, 1}, run.log
    explained = target.explain(*messages, **settings)
    assert explained.code == run.code, explained.stdout + explained.log
    if run.code == 1:
        why = explained.stdout + explained.log
        assert "A run over this input would fail: " in why or explained.last_line in run.last_line
    if name == "no stream that gives events":  # The line begins as the last line of the run does.
        assert explained.stdout.endswith(f"A run over this input would fail: {run.last_line}")


@pytest.mark.parametrize("settings", [ONLY_ORDERS, NO_ORDERS], ids=["mapped", "dropped"])
def test_a_catalog(target: Launcher, settings: dict[str, Any]) -> None:
    """Of a catalog, at least one stream must give events: there are no records to wait for."""
    entry = {"tap_stream_id": "orders", "schema": schema()["schema"], "key_properties": ["id"]}
    explained = target.explain(json.dumps({"streams": [entry]}) + "\n", **settings)
    assert explained.code == (settings is NO_ORDERS)


def test_batch_files_and_a_schema_that_changes(target: Launcher) -> None:
    """Records of files, and those after another SCHEMA, are explained and counted like others."""
    path = target.folder / "batch.jsonl"
    path.write_bytes(lines(order(n)["record"] for n in range(3)))
    few = ("id", "event_time", "email")
    poor = order(4, value=..., currency=...)
    explained = target.explain(schema(columns=few), poor, schema(), batch(path))
    assert explained.code == 0
    assert "Of 4 records, 4 would be sent" in explained.stdout
    assert "3 conversions in USD, average value 12.50" in explained.stdout
    assert path.exists()


# No input


def test_no_input(target: Launcher) -> None:
    """The exit code is 1, and an unknown setting is named nevertheless; 2 if a setting is wrong."""
    explained = target.explain(pixl_id=5, auth_token=None)
    assert explained.code == 1
    assert explained.last_line.startswith("no input: explain needs a Singer stream or a tap's")
    assert "'pixl_id' is unknown" in explained.stdout
    explained = target.explain(pixel_id="x")
    assert (explained.code, explained.stdout) == (2, "")
