"""What a replay reads from a file."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit_support import SETTINGS

from target_liveintent.conversions.event_model import DEAD_LETTERS
from target_liveintent.errors import InputError
from target_liveintent.settings import Settings
from target_liveintent.singer.replay_input import letters_of, letters_to_replay
from target_liveintent.store.dead_letters import SCHEMA_MESSAGE, letters_in
from target_liveintent.store.opening import open_store


def line(record: Any, **members: Any) -> str:
    message = {"type": "RECORD", "stream": DEAD_LETTERS, "record": record, **members}
    return json.dumps(message) + "\n"


def test_dead_letters_are_read() -> None:
    """SCHEMAs and blank lines between them do not matter, nor does a last line without an end."""
    head = json.dumps(SCHEMA_MESSAGE) + "\n"
    text = head + line({"event_id": "1"}) + "\n" + head + line({"event_id": "2"}, extra=1).rstrip()
    assert letters_of(io.StringIO(text)) == [{"event_id": "1"}, {"event_id": "2"}]
    assert letters_of(io.StringIO("")) == []
    assert '"email"' not in head  # No dead letter has one.


@pytest.mark.parametrize(
    "bad",
    [
        json.dumps({**SCHEMA_MESSAGE, "stream": "orders"}),
        line(1, type="STATE", value="s3cr3t"),
        line(["s3cr3t"]),
        line({"note": "s3cr3t"})[:-9],
    ],
    ids=["stream", "state", "list", "cut"],
)
def test_a_line_that_is_no_dead_letter(bad: str) -> None:
    """The message names the line, and does not show it."""
    with pytest.raises(InputError, match="line 2 of the input: ") as raised:
        letters_of(io.StringIO(line({"event_id": "1"}) + bad))
    assert "s3cr3t" not in str(raised.value)


@pytest.fixture
def given(tmp_path: Path) -> Settings:
    return msgspec.structs.replace(SETTINGS, store=str(tmp_path / "store.sqlite"))


def test_a_bad_line_in_a_file(given: Settings) -> None:
    """It ends the replay before anything is sent, and before any letter is kept."""
    with contextlib.closing(open_store(given.storage, "run-1")) as store:
        source = io.StringIO(line({"event_id": "1"}) + "junk\n")
        with pytest.raises(InputError):
            next(letters_to_replay(source, given.account, given.events, store))
        assert list(letters_in(store.database)) == []


def test_letters_of_a_file_are_kept(given: Settings) -> None:
    """They are in the store before the first is sent, also those that this replay leaves."""
    with contextlib.closing(open_store(given.storage, "run-1")) as store:
        texts = [line({"event_id": name, "reason": "unconfirmed"}) for name in "ab"]
        next(letters_to_replay(io.StringIO("".join(texts)), given.account, given.events, store))
        assert [key.event_id for key, _ in letters_in(store.database)] == ["a", "b"]


def test_a_dry_run_of_a_file(given: Settings) -> None:
    """It shows what would become of each of the file's dead letters once, and keeps none."""
    first, second = ({"event_id": "1", "reason": reason} for reason in ("a", "b"))
    given = msgspec.structs.replace(given, dry_run=True)
    with contextlib.closing(open_store(given.storage, "run-1")) as store:
        found = letters_to_replay(
            io.StringIO(line(first) + line(second)), given.account, given.events, store
        )
        assert [record for _, record in found] == [second]
    assert not Path(given.store).exists()
