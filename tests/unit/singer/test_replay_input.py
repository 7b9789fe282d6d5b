"""What a replay reads from a file."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit_support import SETTINGS

from target_liveintent.conversions import DEAD_LETTERS
from target_liveintent.errors import InputError
from target_liveintent.settings import Settings
from target_liveintent.singer.replaying import letters_of, letters_to_replay
from target_liveintent.store import SCHEMA_MESSAGE, letters_in, open_store


def line(record: Any, stream: str = DEAD_LETTERS, **members: Any) -> str:
    return json.dumps({"type": "RECORD", "stream": stream, "record": record, **members}) + "\n"


def test_dead_letters_are_read() -> None:
    """SCHEMAs and blank lines between them do not matter, nor does a last line without an end."""
    head = json.dumps(SCHEMA_MESSAGE) + "\n"
    text = head + line({"event_id": "1"}) + "\n" + head + line({"event_id": "2"}, extra=1).rstrip()
    assert list(letters_of(io.StringIO(text))) == [{"event_id": "1"}, {"event_id": "2"}]
    assert list(letters_of(io.StringIO(""))) == []


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (line({"note": "s3cr3t"}, "orders"), f"is no message of the stream {DEAD_LETTERS}"),
        (line(1, type="STATE", value="s3cr3t"), f"is no message of the stream {DEAD_LETTERS}"),
        (line(["s3cr3t"]), "of the dead letters cannot be read"),
        ("s3cr3t\n", "of the dead letters cannot be read"),
        (line({"note": "s3cr3t"})[:-9], "of the dead letters cannot be read"),
    ],
    ids=["stream", "state", "list", "text", "cut"],
)
def test_a_line_that_is_no_dead_letter(bad: str, said: str) -> None:
    """The message names the line, and does not show it; those before are read."""
    found = letters_of(io.StringIO(line({"event_id": "1"}) + bad))
    assert next(found) == {"event_id": "1"}
    with pytest.raises(InputError, match=f"^line 2 {said}") as raised:
        next(found)
    assert "s3cr3t" not in str(raised.value)


@pytest.fixture
def given(tmp_path: Path) -> Settings:
    return msgspec.structs.replace(SETTINGS, store=str(tmp_path / "store.sqlite"))


def test_a_bad_line_in_a_file(given: Settings) -> None:
    """It ends the replay before anything is sent, and before any letter is kept."""
    with contextlib.closing(open_store(given, "run-1")) as store:
        source = io.StringIO(line({"event_id": "1"}) + "junk\n")
        with pytest.raises(InputError):
            next(letters_to_replay(source, given, store))
        assert list(letters_in(store.database)) == []


def test_a_dry_run_of_a_file(given: Settings) -> None:
    """It shows what would become of each of the file's dead letters once, and keeps none."""
    first, second = ({"event_id": "1", "reason": reason} for reason in ("a", "b"))
    found = letters_to_replay(io.StringIO(line(first) + line(second)), given, None)
    assert [record for _, record in found] == [second]
    assert not Path(given.store).exists()
