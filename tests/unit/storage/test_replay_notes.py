"""The notes of a replay: whatever stands in their file, a repetition goes on with what is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from replay_support import letter

from target_liveintent.storage.replay_notes import NotesInFile

if TYPE_CHECKING:
    from pathlib import Path

BAD = {
    "nothing": b"",
    "half a number": b"9",
    "half a letter": b'9 {"type":"REC',
    "an empty line": b"\n",
    "no letter": b"9 \n",
    "zeros of a power cut": bytes(4096) + b"\n",
    "zeros behind a number": b"9 " + bytes(4096) + b"\n",
    "no UTF-8": b"9 \xff\xfe\n",
    "digits that are none": "²\n".encode(),
    "a negative number": b"-1\n",
    "a number without end": b"9" * 5_000 + b"\n",
    "JSON that is no letter": b"9 0\n",
    "a letter of another stream": b'9 {"type":"RECORD","stream":"orders","record":{}}\n',
    "a letter cut in its midst": b"9 " + letter("9")[:-8] + b"\n",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_bad_bytes(tmp_path: Path, bad: bytes) -> None:
    """What stands before them counts; they, and what follows, are cut off and noted again."""
    path = tmp_path / "notes"
    notes = NotesInFile(str(path))
    notes.settle([1, 3])
    notes.replace(2, letter("new"))
    notes.close()
    whole = path.read_bytes()
    path.write_bytes(whole + bad + b"5\n" * bad.endswith(b"\n"))
    again = NotesInFile(str(path))
    assert again.settled == {1, 3}
    assert again.as_noted(2, letter("old")) == letter("new")
    assert again.as_noted(9, letter("old")) == letter("old")
    again.settle([4])
    again.replace(5, letter("newer"))
    assert list(again.new_letters()) == [letter("newer")]
    again.close()
    assert path.read_bytes() == whole + b"4\n5 " + letter("newer")
