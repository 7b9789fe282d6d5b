"""Runs that went wrong once: each of these cost events, STATE, time or privacy."""

from __future__ import annotations

import gzip
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import Reply, Request, refusing
from integration_support import WITH_ID, numbered, order, orders, schema, state, wait_until

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher, Message, Running

    from target_liveintent.sandbox import Sandbox

MAP = {"event_id": "event_id", "event_time": "event_time", "email": "email", "__else__": "__NULL__"}


def advice(run: Running) -> list[str]:
    """Return the log lines after the line of the total."""
    texts = [line.text.split("|", 3)[-1].strip() for line in run.err]
    (total,) = [n for n, text in enumerate(texts) if text.startswith("total: ")]
    return texts[total + 1 :]


def events(stream: str, *numbers: int) -> list[Message]:
    """Return RECORD messages whose event IDs name the stream and the number."""
    return [order(n, stream, event_id=f"{stream}-{n}") for n in range(*numbers)]


# What the API refuses


def test_a_batch_of_refused_events_among_good_ones(
    to_server: Launcher, server: FaultyServer
) -> None:
    """A row of refused events, amid batches that are accepted, ends no run."""
    bad = {f"order-{n}" for n in range(500, 518)}

    def answer(request: Request) -> Reply:
        if bad & set(request.ids):
            return Reply(400, b"bad")
        return Reply()

    server.answer = answer
    good, others = numbered(500), numbered(1000)[500:]
    run = to_server.run(schema(columns=WITH_ID), *good, state(500), *others, state(1000))
    assert run.code == 0, run.log
    assert run.states[-1] == 1000
    assert {x["event_id"] for x in run.letters} == bad
    assert len(run.letters) == 18
    assert {x["reason"] for x in run.letters} == {"refused_by_api"}
    assert len(server.accepted) == len(set(server.accepted)) == 982
    assert not bad & set(server.accepted)


def test_no_letter_for_what_was_never_sent_alone(to_server: Launcher, server: FaultyServer) -> None:
    """Where an ID twice in a request is what the API refuses, no event becomes a dead letter."""

    def answer(request: Request) -> Reply:
        return Reply(400 if len(set(request.ids)) < len(request.ids) else 204)

    server.answer = answer
    messages = [order(n, event_id=x) for n, x in enumerate(["k0", "same", "same", "k3"])]
    run = to_server.run(schema(columns=WITH_ID), *messages, state(4))
    assert (run.code, run.states, run.letters) == (0, [4], [])
    assert sorted(server.accepted) == ["k0", "k3", "same", "same"]


def test_fail_delivers_what_another_stream_had_read(
    to_server: Launcher, server: FaultyServer
) -> None:
    """A refusal that ends the run while a full batch waits to be sent does not lose that batch."""
    server.answer = refusing("b-150")
    run = to_server.run(
        schema("a", WITH_ID),
        schema("b", WITH_ID),
        *events("a", 99),
        *events("b", 200),
        *events("a", 99, 100),
        state("all"),
        on_invalid="fail",
        max_concurrent_requests=1,
    )
    assert (run.code, run.states) == (1, [])
    assert "refused_by_api" in run.last_line
    assert sorted(x for x in server.accepted if x.startswith("a-")) == sorted(
        f"a-{n}" for n in range(100)
    )


# Where it cannot even begin


@pytest.mark.parametrize("url", ["https://*.example.com", "https://*", "https://.example.com"])
def test_a_url_that_cannot_be_called(target: Launcher, url: str) -> None:
    """A URL that cannot be called is a wrong setting, and no run that hangs."""
    run = target.run(schema(), *orders(3), state(3), api_url=url)
    assert (run.code, run.states) == (2, [])
    assert "api_url" in run.last_line
    assert url not in run.log
    assert "Traceback" not in run.log


# Too many dead letters


def test_the_percentage_waits_for_a_state(to_server: Launcher, server: FaultyServer) -> None:
    """Bad records at the start, and then a silence, end no run whose later records are good."""
    run = to_server.start()
    run.send(schema(columns=WITH_ID), *numbered(120, event_time=None))
    wait_until(lambda: len(run.letters) == 120, "the dead letters")
    threading.Event().wait(1.2)  # The silence is the point: the run looks at itself every second.
    run.send(*numbered(1120)[120:], state(1120)).close_input().wait()
    assert (run.code, run.states) == (0, [1120])
    assert (len(run.letters), len(server.accepted)) == (120, 1000)


@pytest.mark.parametrize(("bad", "code"), [(60, 1), (40, 0)])
def test_a_dry_run_judges_the_percentage(target: Launcher, bad: int, code: int) -> None:
    """A dry run says at its end what the run would have said, by its exit code too."""
    messages = [*numbered(bad, event_time=None), *numbered(100)[bad:]]
    run = target.run(schema(columns=WITH_ID), *messages, state(100), dry_run=True)
    assert (run.code, run.states, run.letters) == (code, [], [])
    assert ("max_dead_letter_percent (50)" in run.last_line) == bool(code)
    assert run.summary["total"].adds_up


# BATCH files


def _damaged(how: str) -> bytes:
    whole = gzip.compress("".join(f'{{"id": {n}}}\n' for n in range(500)).encode())
    return {
        "cut": whole[:-20],
        "deflate": whole[:10] + b"\xff" * 64,
        "checksum": whole[:-8] + b"\0" * 8,
        "header": b"not gzip at all",
        "start": whole[:5],
    }[how]


def _assert_one_clear_line(run: Running, *words: str) -> None:
    assert (run.code, run.states) == (1, [])
    assert "Traceback" not in run.log
    assert "this is a bug" not in run.log
    assert "BATCH" in run.last_line
    assert "line 2 of the input" in run.last_line
    for word in words:
        assert word in run.last_line


@pytest.mark.parametrize("how", ["cut", "deflate", "checksum", "header", "start"])
def test_a_damaged_gzip_file(target: Launcher, how: str) -> None:
    """A gzip file that is damaged in whatever way ends the run with one line that names it."""
    path = target.folder / "rows.jsonl.gz"
    path.write_bytes(_damaged(how))
    encoding = {"format": "jsonl", "compression": "gzip"}
    batch = {"type": "BATCH", "stream": "orders", "encoding": encoding, "manifest": [path.as_uri()]}
    maps = {"orders": {**MAP, "event_id": "str(id)", "__filter__": "False"}}
    run = target.run(schema(columns=WITH_ID), batch, state(1), stream_maps=maps)
    _assert_one_clear_line(run, "rows.jsonl.gz", "cannot be read")


@pytest.mark.parametrize(
    "url", ["file://[foo/x", "file:///tmp/%00x", "file:///", "http://[::1", ""]
)
def test_a_batch_url_that_is_none(target: Launcher, url: str) -> None:
    """A URL that names no file ends the run with one line."""
    encoding = {"format": "jsonl", "compression": "none"}
    batch = {"type": "BATCH", "stream": "orders", "encoding": encoding, "manifest": [url]}
    _assert_one_clear_line(target.run(schema(), batch, state(1)))


# What it says


@pytest.mark.parametrize("others", [{}, {"__else__": "__NULL__"}, {"__else__": None}])
def test_streams_that_no_map_names(
    target: Launcher, sandbox: Sandbox, others: dict[str, Any]
) -> None:
    """A stream that no map names is warned of once, with a name that is near."""
    maps = {"orders": MAP, **others}
    columns = ("id", "name")
    run = target.run(
        schema("ordrs", columns),
        schema(columns=WITH_ID),
        order(0, "ordrs"),
        schema("ordrs", (*columns, "city")),
        order(1, "ordrs"),
        schema("weather", columns),
        *numbered(2),
        state(1),
        stream_maps=maps,
    )
    assert (run.code, sandbox.stats.accepted) == (0, 2)
    warned = [x for x in run.warnings if "no stream map names it" in x]
    assert len(warned) == 2
    (near,) = [x for x in warned if "'ordrs'" in x]
    assert "'orders'" in near
    (far,) = [x for x in warned if "'weather'" in x]
    assert "is it" not in far
    assert run.summary["ordrs"].unmapped == 2


def test_streams_that_a_map_drops(target: Launcher, sandbox: Sandbox) -> None:
    """A stream that a map drops by name is no reason to warn."""
    maps = {"orders": MAP, "ordrs": "__NULL__", "__else__": "__NULL__"}
    run = target.run(
        schema(columns=WITH_ID), schema("ordrs"), *numbered(1), state(1), stream_maps=maps
    )
    assert (run.code, run.warnings, sandbox.stats.accepted) == (0, [], 1)


def test_a_schema_is_not_fetched(to_server: Launcher, server: FaultyServer) -> None:
    """With validate_records, a SCHEMA that refers to a URL makes this machine call nobody."""
    server.answer = lambda _: Reply(200, b"{}")
    reference = {"$ref": f"{server.url}/column.json"}
    run = to_server.run(
        schema(columns=WITH_ID, value=reference), *numbered(2), state(2), validate_records=True
    )
    assert server.connections == 0
    assert (run.code, run.states, run.letters) == (1, [], [])
    assert "SCHEMA" in run.last_line
    assert "Traceback" not in run.log


def test_the_summary_says_what_to_do(to_server: Launcher, server: FaultyServer) -> None:
    """After the total: a line a reason that says what to do, and then where the letters are."""
    server.answer = refusing("order-9")
    messages = numbered(10)
    for n in (0, 1):
        messages[n]["record"]["event_time"] = None
    messages[2]["record"]["email"] = None
    run = to_server.run(
        schema(columns=WITH_ID),
        *messages,
        state(1),
        batch_size_rows=5,
        dead_letter_path="letters of mine.singer",
    )
    assert run.code == 0
    first, *others, last = advice(run)
    assert first.startswith("missing_event_time 2: ")
    assert "Map `event_time`" in first
    assert {x.split(":")[0] for x in others} == {"no_identity 1", "refused_by_api 1"}
    assert all(len(x.split(": ", 1)[1]) > 20 for x in others)
    assert "dead letters are in letters of mine.singer" in last


def test_a_clean_summary_says_no_more(target: Launcher) -> None:
    """Where nothing went wrong, the total is the last line."""
    assert advice(target.run(schema(), *orders(3), state(1))) == []


def test_a_failing_map_is_warned_of_once(target: Launcher, sandbox: Sandbox) -> None:
    """A failing expression is warned of once a column, with its name and kind, not its value."""
    maps = {
        "orders": {
            **MAP,
            "event_id": "event_id if id < 8 else secret_of['x']",
            "value": "float(value) if id < 5 else value",
            "__filter__": "True if id < 3 or id > 4 else 1 / 0 > 1",
        }
    }
    messages = numbered(10)
    for n in (0, 1, 2):
        messages[n]["record"]["value"] = f"jane{n}@example.com"
    columns = (*WITH_ID, "secret_of")
    run = target.run(schema(columns=columns), *messages, state(1), stream_maps=maps)
    assert (run.code, len(run.letters), sandbox.stats.accepted) == (0, 7, 3)
    warned = [x for x in run.warnings if "expression" in x]
    assert len(warned) == 3
    for column, kind in (("value", "ValueError"), ("__filter__", "ZeroDivisionError")):
        (line,) = [x for x in warned if f"'{column}'" in x]
        assert f"({kind})" in line
        assert "'orders'" in line
    assert any("'event_id'" in x for x in warned)
    assert "jane" not in run.log


def test_a_dry_run_only_would_have_letters(target: Launcher) -> None:
    """A dry run writes no letters, so it says "would be", and names no file of them."""
    messages = [*numbered(1, event_time=None), *numbered(3)[1:]]
    run = target.run(schema(columns=WITH_ID), *messages, state(1), dry_run=True)
    assert run.code == 0
    lines = [x.text for x in run.err if " read 3, " in x.text]
    assert len(lines) == 2
    for line in lines:
        assert "would be delivered 2" in line
        assert "would be dead-lettered 1 (missing_event_time 1)" in line
    (said,) = advice(run)
    assert said.startswith("missing_event_time 1: ")
    assert "dead letters are in" not in run.log


def test_a_wet_run_has_them(target: Launcher) -> None:
    """A run that is not dry does not say "would be"."""
    run = target.run(schema(columns=WITH_ID), *numbered(1, event_time=None), state(1))
    assert "would be" not in run.log
    assert json.dumps(run.letters).count("missing_event_time") == 1
