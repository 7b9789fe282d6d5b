"""Consent and suppression over whole runs: who must not be sent is counted, and never kept."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import Reply, refusing
from integration_support import (
    LETTERS,
    TOKEN,
    WITH_ID,
    lines,
    numbered,
    order,
    orders,
    schema,
    state,
)

if TYPE_CHECKING:
    from pathlib import Path

    from faulty_server import FaultyServer
    from integration_support import Launcher, Running

    from target_liveintent.sandbox import Sandbox

COLUMNS = ("id", "event_time", "email", "value", "consent")


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def sha2(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sent(sandbox: Sandbox) -> set[str]:
    """Return the SHA-256 of everybody who was sent."""
    return {event["userData"]["sha2"] for event in sandbox.events}


def buyers(*numbers: int) -> set[str]:
    return {sha2(f"buyer{n}@example.com") for n in numbers}


def replay(target: Launcher, **settings: Any) -> Running:
    moved = (target.folder / LETTERS).rename(target.folder / "moved.singer")
    with moved.open("rb") as stdin:
        return target.start(stdin=stdin, **settings).wait()


# Consent


def test_consent(target: Launcher, sandbox: Sandbox) -> None:
    """Of a stream with the column, only records that say yes go; the others leave no letter."""
    yes = [True, 1, "1", "yes", "Granted", "TRUE", 1.0]
    no = [False, 0, None, ..., "", "no", "denied", "false", 2, "maybe", ["yes"], {"granted": True}]
    messages = [order(n, consent=value) for n, value in enumerate([*yes, *no])]
    run = target.run(schema(columns=(*COLUMNS, "currency")), *messages, state(1))
    assert (run.code, run.states, run.warnings) == (0, [1], [])
    assert sent(sandbox) == buyers(*range(len(yes)))
    assert "consent" not in json.dumps(sandbox.events)
    total = run.summary["total"]
    assert (total.read, total.delivered, total.reasons) == (len(messages), len(yes), {})
    assert total.drops == {"no_consent": len(no)}
    assert total.adds_up
    assert not (target.folder / LETTERS).exists()


def test_a_stream_without_the_column(target: Launcher, sandbox: Sandbox) -> None:
    """What its SCHEMA does not name is no column of a stream."""
    run = target.run(schema(), order(1), order(2, consent=False), state(1))
    assert (run.code, sandbox.stats.accepted) == (0, 2)


def test_the_column_as_mapped(target: Launcher, sandbox: Sandbox) -> None:
    """A map makes the column, or drops it, or computes it."""
    columns = (*COLUMNS[:-1], "consent", "marketing")
    messages = [
        order(1, consent="no", marketing="subscribed"),
        order(2, consent="yes", marketing="pending"),
        order(3, consent="yes", marketing=None),
    ]
    computed = {"consent": "_.get('marketing') == 'subscribed'"}
    for mapped, expected in [
        ({}, (2, 3)),
        (computed, (1,)),
        ({"consent": "marketing"}, ()),
        ({"consent": "__NULL__"}, (1, 2, 3)),
        ({"event_time": "event_time", "email": "email", "__else__": "__NULL__"}, (1, 2, 3)),
        ({"consent": "'yes'"}, (1, 2, 3)),
    ]:
        sandbox.reset()
        maps = {"orders": mapped}
        run = target.run(schema(columns=columns), *messages, stream_maps=maps, ledger=False)
        assert run.code == 0
        assert sent(sandbox) == buyers(*expected), mapped
        assert run.summary["total"].adds_up


def test_each_stream_of_its_own(target: Launcher, sandbox: Sandbox) -> None:
    """One stream's column says nothing of another."""
    run = target.run(
        schema("a", COLUMNS), schema("b"), order(1, "a"), order(2, "b"), order(3, "a", consent=1)
    )
    assert (run.code, sent(sandbox)) == (0, buyers(2, 3))
    assert run.summary["a"].drops == {"no_consent": 1}
    assert run.summary["b"].drops == {}


def test_a_column_that_appears(target: Launcher, sandbox: Sandbox) -> None:
    """From the SCHEMA on that names it, it is asked."""
    run = target.run(
        schema(), order(1), schema(columns=COLUMNS), order(2), order(3, consent="yes"), state(1)
    )
    assert (run.code, run.states, sent(sandbox)) == (0, [1], buyers(1, 3))


def test_in_batch_files(target: Launcher, sandbox: Sandbox) -> None:
    """BATCH files are no way around."""
    path = target.folder / "rows.jsonl"
    records = [order(n, consent=n % 2)["record"] for n in range(4)]
    path.write_bytes(lines(records))
    batch = {
        "type": "BATCH",
        "stream": "orders",
        "encoding": {"format": "jsonl"},
        "manifest": [path.as_uri()],
    }
    run = target.run(schema(columns=COLUMNS), batch, state(1))
    assert (run.code, run.states, sent(sandbox)) == (0, [1], buyers(1, 3))


def bad_records(**common: Any) -> list[dict[str, Any]]:
    """Return records each of which has another thing wrong with it."""
    return [
        order(1, event_time=None, **common),
        order(2, event_time="soon", **common),
        order(3, event_time=0, **common),
        order(4, event_time="2019-01-01", **common),
        order(5, source="pos", **common),
        order(6, pixel_id="x", **common),
        order(..., **common),
        order(8, value=["no number"], **common),
    ]


MODES = [{}, {"on_rejection": "fail"}, {"max_dead_letter_percent": 0}, {"dry_run": True}]


@pytest.mark.parametrize("settings", MODES, ids=["plain", "fail", "percent", "dry"])
@pytest.mark.parametrize("why", ["no_consent", "suppressed"])
def test_never_a_letter_and_never_an_end(
    target: Launcher, sandbox: Sandbox, settings: dict[str, Any], why: str
) -> None:
    """Whatever else is wrong with such a record, it is dropped, counted, and the run goes on."""
    people = target.folder / "people.txt"
    people.write_text("gone@example.com\n" if why == "suppressed" else "")
    bad = bad_records(
        **({"consent": "no"} if why == "no_consent" else {"email": "gone@example.com"})
    )
    columns = (*COLUMNS[: 5 if why == "no_consent" else 4], "source", "pixel_id")
    typed = schema("orders", columns, value={"type": "number"})
    run = target.run(
        typed,
        *bad * 20,
        *orders(100, 103, consent="yes"),
        state(1),
        validate_records=True,
        suppression_path=str(people),
        **settings,
    )
    assert run.code == 0, run.log
    assert run.states == ([] if settings.get("dry_run") else [1])
    total = run.summary["total"]
    assert (total.delivered, total.reasons) == (3, {})
    assert total.drops == {why: len(bad) * 20}
    assert total.adds_up
    assert not (target.folder / LETTERS).exists()


def test_a_replay_obeys_consent(to_server: Launcher, server: FaultyServer) -> None:
    """Letters of people who agreed go out; one whose consent was withdrawn in the file does not."""
    server.answer = refusing("order-1", "order-2")
    messages = numbered(4, consent="granted")
    first = to_server.run(schema(columns=(*WITH_ID, "consent")), *messages, state(1))
    assert [x["reason"] for x in first.letters] == ["refused_by_api"] * 2
    letters = to_server.folder / LETTERS
    before, mark, after = letters.read_text().partition('"consent":"granted"')
    assert mark
    letters.write_text(before + '"consent":"withdrawn"' + after)
    server.answer = lambda _: Reply()
    server.accepted.clear()
    again = replay(to_server)
    assert (again.code, server.accepted) == (0, ["order-2"])
    assert again.summary["total"].drops == {"no_consent": 1}
    assert again.summary["total"].adds_up
    assert not letters.exists()


# Suppression


@pytest.mark.parametrize("normalization", ["gmail", "all_domains", "lowercase"])
def test_suppressed_addresses(target: Launcher, sandbox: Sandbox, normalization: str) -> None:
    """An address of the file stops its events, however they are normalized or hashed."""
    gmail, other = "John.Doe+Office@Gmail.com", "Jane.Roe+x@Example.com"
    (target.folder / "people.txt").write_text(f"# left\n{gmail}\n\n{other.upper()}\n")
    normalized = {
        "gmail": ("johndoe@gmail.com", "jane.roe+x@example.com"),
        "all_domains": ("johndoe@gmail.com", "janeroe@example.com"),
        "lowercase": ("john.doe+office@gmail.com", "jane.roe+x@example.com"),
    }[normalization]
    spellings: list[str] = [gmail, other, f" {other.lower()} ", gmail.upper()]
    for one in normalized:
        spellings += [md5(one), sha2(one), md5(one).upper(), sha2(one).upper()]
    messages = [order(n, email=email) for n, email in enumerate(spellings)]
    columns = ("id", "event_time", "email", "md5", "sha2")
    for n, one in enumerate(normalized):
        messages += [
            order(50 + n, email=..., md5=md5(one)),
            order(60 + n, email=..., sha2=sha2(one)),
            order(70 + n, email="", md5=one, sha2="junk"),
        ]
    run = target.run(
        schema(columns=columns),
        *messages,
        order(99),
        state(1),
        email_normalization=normalization,
        suppression_path="people.txt",
    )
    assert (run.code, run.states, run.warnings) == (0, [1], [])
    assert sent(sandbox) == buyers(99)
    assert run.summary["total"].drops == {"suppressed": len(messages)}
    assert run.summary["total"].adds_up
    assert not (target.folder / LETTERS).exists()


def test_a_hash_stops_its_own_kind(target: Launcher, sandbox: Sandbox) -> None:
    """A lone md5 stops an address and an md5, but no event that carries only a sha2."""
    (target.folder / "people.txt").write_text(md5("buyer1@example.com").upper())
    run = target.run(
        schema(columns=("id", "event_time", "email", "sha2")),
        order(1),
        order(2, email=md5("buyer1@example.com")),
        order(3, email=..., sha2=sha2("buyer1@example.com")),
        suppression_path="people.txt",
    )
    assert run.code == 0
    assert sent(sandbox) == buyers(1)
    assert run.summary["total"].drops == {"suppressed": 2}


def test_a_wrong_list_leaves_no_files(target: Launcher) -> None:
    """A list that cannot be read ends the run before it creates any file."""
    (target.folder / "people.txt").write_text("not an address")
    run = target.run(
        schema(),
        order(1),
        suppression_path="people.txt",
        ledger_path="ledger.db",
        delivered_path="delivered.csv",
    )
    assert run.code == 2
    assert "suppression_path" in run.last_line
    assert not (target.folder / "ledger.db").exists()
    assert not (target.folder / "delivered.csv").exists()


def test_a_list_named_like_the_token(target: Launcher) -> None:
    """The error of a list that cannot be read hides the token in its path."""
    run = target.run(schema(), order(1), suppression_path=f"{TOKEN}.txt")
    assert run.code == 2
    assert "suppression_path '***.txt' cannot be read" in run.last_line
    assert TOKEN not in run.log


def test_a_replay_obeys_suppression(to_server: Launcher, server: FaultyServer) -> None:
    """Whoever joined the file after the letter was written is not sent."""
    server.answer = refusing("order-1", "order-2")
    first = to_server.run(schema(columns=WITH_ID), *numbered(4), state(1))
    assert len(first.letters) == 2
    (to_server.folder / "people.txt").write_text("Buyer1@example.com\n")
    server.answer = lambda _: Reply()
    server.accepted.clear()
    again = replay(to_server, suppression_path="people.txt")
    assert (again.code, server.accepted) == (0, ["order-2"])
    assert again.summary["total"].drops == {"suppressed": 1}
    assert not (to_server.folder / LETTERS).exists()


def test_a_dry_run_obeys_both(target: Launcher, sandbox: Sandbox) -> None:
    """And shows nobody who would not be sent."""
    (target.folder / "people.txt").write_text("buyer1@example.com\n")
    run = target.run(
        schema(columns=COLUMNS),
        order(1, consent=1),
        order(2, consent=0),
        order(3, consent=1),
        dry_run=True,
        suppression_path="people.txt",
    )
    assert run.summary["total"].drops == {"suppressed": 1, "no_consent": 1}
    assert run.summary["total"].delivered == 1
    assert sha2("buyer1@example.com") not in run.log
    assert sha2("buyer2@example.com") not in run.log
    assert sha2("buyer3@example.com") in run.log


def test_nobody_stays_in_the_ledger(target: Launcher, sandbox: Sandbox) -> None:
    """Who was dropped was not delivered, and goes out once they agree."""
    known = {"ledger_path": "ledger.sqlite"}
    for value in (0, 1, 1):
        assert target.run(schema(columns=COLUMNS), order(1, consent=value), **known).code == 0
    assert sandbox.stats.accepted == 1


# The file


def unreadable(folder: Path, kind: str) -> str:
    """Make a file that cannot be read, and return its path."""
    path = folder / "people.txt"
    if kind == "folder":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfes3cr3t@example.com\x00")
    elif kind == "line":
        path.write_text("a@example.com\n\ns3cr3t at example.com\n")
    elif kind == "loop":
        path.symlink_to(path)
    return path.name


@pytest.mark.parametrize("kind", ["nowhere", "folder", "binary", "line", "loop"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_file_that_cannot_be_read(
    target: Launcher, sandbox: Sandbox, kind: str, dry_run: bool
) -> None:
    """The run is refused with exit 2 before any input is read, in one line without content."""
    path = unreadable(target.folder, kind)
    run = target.start(suppression_path=path, dry_run=dry_run).wait(8)  # stdin is still open
    assert (run.code, run.stdout, sandbox.stats.requests) == (2, "", 0)
    assert len(run.warnings) == 1
    assert "suppression_path" in run.last_line
    assert "s3cr3t" not in run.log
    assert "Traceback" not in run.log
    assert ("line 3" in run.last_line) == (kind == "line")


def test_an_empty_file(target: Launcher, sandbox: Sandbox) -> None:
    """A list that nobody is on yet stops nobody."""
    (target.folder / "people.txt").touch()
    run = target.run(schema(), order(1), state(1), suppression_path="people.txt")
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], 1)


def test_a_long_list(target: Launcher, sandbox: Sandbox) -> None:
    """A hundred thousand people are read before a run in a moment."""
    people = [sha2(f"buyer{n}@example.com") for n in range(5, 100_000)]
    (target.folder / "people.txt").write_text("\n".join(people))
    run = target.run(schema(), *orders(10), state(1), suppression_path="people.txt", patience=8)
    assert (run.code, run.summary["total"].drops) == (0, {"suppressed": 5})
    assert sent(sandbox) == buyers(*range(5))
