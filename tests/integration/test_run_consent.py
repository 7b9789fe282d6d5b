"""Consent and suppression over whole runs: who must not be sent is counted, and never kept."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from integration_support import (
    TOKEN,
    order,
    orders,
    schema,
    state,
)

if TYPE_CHECKING:
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

COLUMNS = ("id", "event_time", "email", "value", "consent")


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


def test_never_a_letter_and_never_an_end(target: Launcher) -> None:
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
        on_rejection="fail",
    )
    assert (run.code, run.states) == (0, [1]), run.log
    total = run.summary["total"]
    assert (total.delivered, total.reasons) == (3, {})
    assert total.drops == dict.fromkeys(("no_consent", "suppressed"), len(wrong) * 20)
    assert total.adds_up
    assert run.letters == []
    assert not any(sha2(f"{who}@example.com") in run.log for who in ("gone", "buyer0", "buyer100"))


# Suppression


def test_a_list_that_cannot_be_read(target: Launcher, sandbox: Sandbox) -> None:
    """Exit code 2 before any input is read and any file is made, in one line without content."""
    path = target.folder / f"{TOKEN}.txt"
    path.write_text("a@example.com\n\ns3cr3t at example.com\n")
    settings = {"suppression_path": path.name, "metrics_path": "run.prom"}
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
