"""`explain`: what it shows, that it sends nothing, and that it fails where a run would fail."""

import stat
from typing import Any

import pytest
import yaml
from integration_support import Launcher, batch, lines, order, orders, schema, state

from target_liveintent.explain.proposal_text import SCHEMA_URL
from target_liveintent.sandbox import Sandbox

MAP = {"event_id": "str(id)", "event_time": "event_time", "email": "email", "__else__": None}

# The exit code

ONLY_ORDERS = {"stream_maps": {"orders": MAP}}
FAIL = {"on_rejection": "fail"}
WITH_CONSENT = schema(columns=("id", "event_time", "email", "consent"))
INPUTS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "good": ([schema(), *orders(3), state(1)], {}),
    "a stream that is refused": ([schema("orders", ("id", "name"))], {}),
    "a second schema that is refused": ([schema(), *orders(2), schema(columns=("id",))], {}),
    "a first schema that is refused": ([schema(columns=("id",)), schema(), *orders(2)], {}),
    "a filter without its column": (
        [schema(), *orders(3)],
        {"stream_maps": {"orders": {**MAP, "__filter__": "get('status') != 'cancelled'"}}},
    ),
    "an event ID without its column": (
        [schema(), *orders(2), schema(columns=("event_time", "email", "ID")), *orders(5)],
        {"stream_maps": {"orders": {**MAP, "event_id": "get('id')"}}},
    ),
    "a filter with an alternative": (
        [schema(), *orders(3)],
        {"stream_maps": {"orders": {**MAP, "__filter__": "not _.get('is_test', False)"}}},
    ),
    "a consent that is not declared": ([schema(), order(1, consent=False), *orders(2)], {}),
    "no stream that gives events": ([schema("people", ("id",)), order(1, "people")], ONLY_ORDERS),
    "a misspelled column": (
        [schema(), order(1)],
        {"stream_maps": {"orders": {**MAP, "ip": "zzz"}}},
    ),
    "a rejection that ends the run": ([schema(), order(1, event_time="?")], FAIL),
    "a drop that does not end the run": ([WITH_CONSENT, order(1, consent=False)], FAIL),
    "too many dead letters": ([schema(), *orders(40), *orders(99, event_time="?")], {}),
    "a line that is no message": ([schema(), "no JSON\n"], {}),
    "a batch file that is not there": ([schema(), batch("file:///nowhere/batch.jsonl")], {}),
    "Meltano's test": (
        [schema("meltano_test_stream", ("id",)), order(1, "meltano_test_stream")],
        {},
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_exit_code(target: Launcher, sandbox: Sandbox, name: str) -> None:
    """An explanation sends nothing; its exit code is 1 where that of a run is, and it says why."""
    messages, settings = INPUTS[name]
    run = target.run(*messages, **settings)
    assert run.code in {0, 1}, run.log
    requests = sandbox.stats.requests
    if name == "a filter without its column":
        assert (requests, "the column 'status', which '__filter__'" in run.last_line) == (0, True)
    if name == "a consent that is not declared":
        assert (sandbox.stats.accepted, run.summary["orders"].drops) == (2, {"no_consent": 1})
    explained = target.explain(*messages, **settings)
    assert explained.code == run.code, explained.stdout + explained.log
    assert sandbox.stats.requests == requests
    if run.code == 1:
        why = explained.stdout + explained.log
        assert "A run over this input would fail: " in why or explained.last_line in run.last_line
    if name == "no stream that gives events":  # The line begins as the last line of the run does.
        assert explained.stdout.endswith(f"A run over this input would fail: {run.last_line}")


# The first configuration; test_docs_blocks.py follows the page of one's own table to its end


def test_a_first_configuration(target: Launcher, sandbox: Sandbox) -> None:
    """With three blanks filled in, the proposed configuration delivers; no file is overwritten."""
    messages = [schema(), *orders(20), state(1)]
    source = target.folder / "orders.singer"
    source.write_bytes(lines(messages))
    arguments = ("explain", source.name, "--write-config", "liveintent.yaml")
    run = target.command(*arguments).close_input().wait()
    assert (run.code, run.log) == (0, "")
    written = target.folder / "liveintent.yaml"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert written.read_text().startswith(f"# yaml-language-server: $schema={SCHEMA_URL}\n")
    config = yaml.safe_load(written.read_text())
    filled = {name: value for name, value in config.items() if value is not None}
    assert config.keys() - filled.keys() == {"customer_id", "auth_token", "pixel_id"}
    run = target.run(*messages, **filled, default_source=...)
    assert (run.code, sandbox.stats.accepted, run.warnings) == (0, 20, [])
    run = target.command(*arguments).close_input().wait()
    assert (run.code, yaml.safe_load(written.read_text())) == (1, config)
    assert "cannot write 'liveintent.yaml': File exists" in run.last_line
    run = target.command("explain", "--write-config", "other.yaml").close_input().wait()
    assert (run.code, (target.folder / "other.yaml").exists()) == (1, False)
    assert "the input is empty" in run.last_line
