"""People who must not be sent: by a run, by a replay, and after they were forgotten."""

import hashlib
from typing import Any

import pytest
from faulty_server import FaultyServer
from integration_support import WITH_ID, Launcher, order, schema

JOHN, JANE = "John.Doe@gmail.com", "jane.roe+shop@example.com"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


ENTRIES = {
    "what a mailing tool exports": sha256("john.doe@gmail.com"),
    "the form of Gmail": f"\\x{sha256('johndoe@gmail.com')}",
    "an address": "John <j.o.h.n.d.o.e+x@GMAIL.com>;",
}


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_a_listed_person_is_not_sent(to_server: Launcher, server: FaultyServer, entry: str) -> None:
    """Neither by a run, nor by a replay of what a run without the list could not send."""
    path = to_server.folder / "people.txt"
    path.write_text(f"{entry}\n")
    listed: dict[str, Any] = {"suppression_path": str(path)}
    records = [
        order(number, event_id=name, email=email)
        for number, (name, email) in enumerate([("john", JOHN), ("jane", JANE)])
    ]
    stream = (schema(columns=(*WITH_ID, "source")), *records)
    first = to_server.run(*stream, default_source=..., max_dead_letter_percent=100)
    assert "invalid_source 2" in first.log
    replay = to_server.ask("replay", **listed)
    assert (replay.code, server.accepted, to_server.letters) == (0, ["jane"], {})
    assert "dropped 1 (suppressed 1)" in replay.log
    run = to_server.run(*stream, **listed)
    assert (run.code, server.accepted) == (0, ["jane"])
    assert "dropped 2 (suppressed 1, already_sent 1)" in run.log


def test_a_list_that_names_nobody(target: Launcher) -> None:
    """Its export may have failed, so the run and `explain` warn."""
    (target.folder / "people.txt").write_text("# nobody\n")
    listed = {"suppression_path": str(target.folder / "people.txt")}
    said = "the file of suppression_path names nobody, so no event is left out"
    run = target.run(schema(), order(1), **listed)
    assert (run.code, [text for text in run.warnings if said in text]) == (0, run.warnings)
    assert said in target.explain(schema(), order(1), **listed).stdout
