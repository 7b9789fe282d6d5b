"""Consent and suppression over whole runs: who must not be sent is counted, and never kept."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import Reply, refusing
from integration_support import (
    TOKEN,
    WITH_ID,
    batch,
    lines,
    numbered,
    order,
    orders,
    schema,
    state,
)

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

COLUMNS = ("id", "event_time", "email", "value", "consent")


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def sha2(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sent(sandbox: Sandbox) -> list[str]:
    """Return the SHA-256 of everybody who was sent."""
    return sorted(event["userData"]["sha2"] for event in sandbox.events)


def buyers(*numbers: int) -> list[str]:
    return sorted(sha2(f"buyer{n}@example.com") for n in numbers)


# Consent


def test_consent(target: Launcher, sandbox: Sandbox) -> None:
    """Of a stream with the column, only records that say yes go; the others leave no letter."""
    yes, no = [True, "yes", "1"], [False, None, ..., "", "no", "maybe", ["yes"]]
    messages = [order(n, consent=value) for n, value in enumerate([*yes, *no])]
    run = target.run(schema(columns=(*COLUMNS, "currency")), *messages, state(1))
    assert (run.code, run.states, run.warnings) == (0, [1], [])
    assert sent(sandbox) == buyers(*range(len(yes)))
    assert "consent" not in json.dumps(sandbox.events)
    total = run.summary["total"]
    assert (total.read, total.delivered, total.reasons) == (len(messages), len(yes), {})
    assert total.drops == {"no_consent": len(no)}
    assert total.adds_up
    assert run.letters == []


def test_the_column_as_mapped(target: Launcher, sandbox: Sandbox) -> None:
    """A map makes the column of a stream, or drops it, or computes it; no other stream has it."""
    others = {"event_time": "event_time", "email": "email", "__else__": "__NULL__"}
    maps = {
        "as it is": ({}, (2, 3)),
        "computed": ({"consent": "_.get('marketing') == 'subscribed'"}, (1,)),
        "dropped": ({"consent": "__NULL__"}, (1, 2, 3)),
        "not named": (others, (1, 2, 3)),
        "a constant": ({"consent": "'yes'"}, (1, 2, 3)),
    }
    columns = (*COLUMNS[:-1], "consent", "marketing")
    messages = [
        message
        for stream in maps
        for message in (
            schema(stream, columns),
            order(1, stream, consent="no", marketing="subscribed"),
            order(2, stream, consent="yes", marketing="pending"),
            order(3, stream, consent="yes", marketing=None),
        )
    ]
    messages += [schema("without"), order(4, "without", consent=False)]
    definitions = {stream: definition for stream, (definition, _) in maps.items()}
    run = target.run(*messages, stream_maps={**definitions, "without": {}})
    assert run.code == 0
    expected = [number for _, numbers in maps.values() for number in numbers]
    assert sent(sandbox) == buyers(*expected, 4)
    for stream, (_, numbers) in maps.items():
        dropped = {"no_consent": 3 - len(numbers)} if len(numbers) < 3 else {}
        assert (run.summary[stream].delivered, run.summary[stream].drops) == (len(numbers), dropped)


def test_a_column_that_appears(target: Launcher, sandbox: Sandbox) -> None:
    """From the SCHEMA on that names it, it is asked, of the records of BATCH files as well."""
    path = target.folder / "rows.jsonl"
    path.write_bytes(lines(order(n, consent=n % 2)["record"] for n in (4, 5)))
    given = (order(1), schema(columns=COLUMNS), order(2), order(3, consent="yes"), batch(path))
    run = target.run(schema(), *given, state(1))
    assert (run.code, run.states, sent(sandbox)) == (0, [1], buyers(1, 3, 5))


MODES = [{"on_rejection": "fail"}, {"max_dead_letter_percent": 0}, {"dry_run": True}]


@pytest.mark.parametrize("settings", MODES, ids=["fail", "percent", "dry"])
def test_never_a_letter_and_never_an_end(target: Launcher, settings: dict[str, Any]) -> None:
    """Whatever else is wrong with such a record, it is dropped, counted, and the run goes on."""
    (target.folder / "people.txt").write_text("gone@example.com\n")
    wrong: list[dict[str, Any]] = [
        {},
        {"event_time": "soon"},
        {"event_time": "2019-01-01"},
        {"source": "pos"},
        {"pixel_id": "x"},
        {"id": ...},
        {"value": ["no number"]},
    ]
    bad = [order(n, **{"id": n, "consent": "no", **one}) for n, one in enumerate(wrong)]
    gone = {"email": "gone@example.com", "consent": "yes"}
    bad += [order(n, **{"id": n, **gone, **one}) for n, one in enumerate(wrong)]
    run = target.run(
        schema("orders", (*COLUMNS, "source", "pixel_id"), value={"type": "number"}),
        *bad * 20,
        *orders(100, 103, consent="yes"),
        state(1),
        validate_records=True,
        suppression_path="people.txt",
        **settings,
    )
    assert run.code == 0, run.log
    assert run.states == ([] if settings.get("dry_run") else [1])
    total = run.summary["total"]
    assert (total.delivered, total.reasons) == (3, {})
    assert total.drops == dict.fromkeys(("no_consent", "suppressed"), len(wrong) * 20)
    assert total.adds_up
    assert run.letters == []
    shown = [who for who in ("gone", "buyer0", "buyer100") if sha2(f"{who}@example.com") in run.log]
    assert shown == (["buyer100"] if settings.get("dry_run") else [])


def test_a_replay_obeys_both(to_server: Launcher, server: FaultyServer) -> None:
    """Who withdrew consent in the letter, or joined the list since, is dropped; others go."""
    server.answer = refusing("order-1", "order-2", "order-3")
    messages = numbered(5, consent="granted")
    first = to_server.run(schema(columns=(*WITH_ID, "consent")), *messages, state(1))
    assert [x["reason"] for x in first.letters] == ["refused_by_api"] * 3
    before, mark, after = to_server.exported().partition('"consent":"granted"')
    assert mark
    (to_server.folder / "edited").write_text(before + '"consent":"withdrawn"' + after)
    _, listed, left = (x["event_id"] for x in first.letters)
    (to_server.folder / "people.txt").write_text(f"Buyer{listed[-1]}@example.com\n")
    server.answer = lambda _: Reply()
    server.accepted.clear()
    again = to_server.ask("replay", "edited", suppression_path="people.txt")
    assert (again.code, server.accepted) == (0, [left])
    assert again.summary["total"].drops == {"no_consent": 1, "suppressed": 1}
    assert again.summary["total"].adds_up
    assert again.letters == []


def test_nobody_stays_in_the_store(target: Launcher, sandbox: Sandbox) -> None:
    """Who was dropped was not delivered, and goes out once they agree."""
    for value in (0, 1, 1):
        assert target.run(schema(columns=COLUMNS), order(1, consent=value)).code == 0
    assert sandbox.stats.accepted == 1


# Suppression


def test_suppressed_addresses(target: Launcher, sandbox: Sandbox) -> None:
    """An address of the file stops its events, however they are normalized or hashed."""
    gmail, other = "John.Doe+Office@Gmail.com", "Jane.Roe+x@Example.com"
    (target.folder / "people.txt").write_text(f"# left\n{gmail}\n\n{other.upper()}\n")
    given: list[dict[str, Any]] = [
        {"email": email} for email in (gmail, other, f" {other.lower()} ", gmail.upper())
    ]
    for one in ("johndoe@gmail.com", "janeroe@example.com"):
        given += [
            *({"email": md5(one)}, {"email": sha2(one).upper()}),
            *({"email": ..., "md5": md5(one)}, {"email": ..., "sha2": sha2(one)}),
            {"email": "", "md5": one, "sha2": "junk"},
        ]
    run = target.run(
        schema(columns=("id", "event_time", "email", "md5", "sha2")),
        *(order(n, **one) for n, one in enumerate(given)),
        order(99),
        state(1),
        email_normalization="all_domains",
        suppression_path="people.txt",
    )
    assert (run.code, run.states, run.warnings) == (0, [1], [])
    assert sent(sandbox) == buyers(99)
    assert run.summary["total"].drops == {"suppressed": len(given)}
    assert run.summary["total"].adds_up
    assert run.letters == []


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_list_that_cannot_be_read(target: Launcher, sandbox: Sandbox, dry_run: bool) -> None:
    """Exit code 2 before any input is read and any file is made, in one line without content."""
    path = target.folder / f"{TOKEN}.txt"
    path.write_text("a@example.com\n\ns3cr3t at example.com\n")
    settings = {"suppression_path": path.name, "dry_run": dry_run, "metrics_path": "run.prom"}
    run = target.start(**settings).wait(8)  # Standard input is still open.
    assert (run.code, run.stdout, sandbox.stats.requests) == (2, "", 0)
    assert len(run.warnings) == 1
    assert all(words in run.last_line for words in ("suppression_path", "line 3"))
    assert not [word for word in ("s3cr3t", "Traceback") if word in run.log]
    assert {one.name for one in target.folder.iterdir()} == {path.name, "config-0.json"}
    path.unlink()
    run = target.start(**settings).wait(8)
    assert run.code == 2
    assert "suppression_path '***.txt' cannot be read" in run.last_line
    assert TOKEN not in run.log


def test_a_long_list(target: Launcher, sandbox: Sandbox) -> None:
    """A hundred thousand people are read before a run in a moment."""
    people = [sha2(f"buyer{n}@example.com") for n in range(5, 100_000)]
    (target.folder / "people.txt").write_text("\n".join(people))
    run = target.run(schema(), *orders(10), state(1), suppression_path="people.txt", patience=8)
    assert (run.code, run.summary["total"].drops) == (0, {"suppressed": 5})
    assert sent(sandbox) == buyers(*range(5))
