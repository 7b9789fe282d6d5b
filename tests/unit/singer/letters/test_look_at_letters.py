"""What `--dead-letters` finds: which lines count, in which groups, and what a replay would do."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
from unit_support import ADDRESS, DAY, NOW, SETTINGS, SHA2, TIME, order, rejection, sha256
from unit_support import letter as letter_of

from target_liveintent.conversions.model import DEAD_LETTERS
from target_liveintent.reasons import REASONS
from target_liveintent.singer.letters import look_at, tally
from target_liveintent.singer.letters.model import PROSPECTS, DeadLetters
from target_liveintent.singer.letters.tally import LetterTally
from target_liveintent.storage.dead_letters import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from target_liveintent.settings import Settings

ACCOUNT = {"customer_id": "a-1b2c", "api_host": "conversions.liveintent.com", "pixel_id": 4711}


def letter(**changes: Any) -> dict[str, Any]:
    """Return a dead letter that the API refused and a replay sends; `...` removes a member."""
    record = {
        "event_id": "7",
        "event_time": TIME,
        "sha2": SHA2,
        "reason": "refused_by_api",
        "stream": "orders",
        "time": "2026-08-01T10:00:00+00:00",
        "written_for": ACCOUNT,
        **changes,
    }
    return {name: value for name, value in record.items() if value is not ...}


def line(record: Any, stream: str = DEAD_LETTERS) -> bytes:
    return json.dumps({"type": "RECORD", "stream": stream, "record": record}).encode() + b"\n"


def look(
    folder: Path, *letters: dict[str, Any] | bytes, settings: Settings = SETTINGS
) -> DeadLetters:
    """Look at a file with these letters, and lines of other kinds."""
    path = folder / "letters.singer"
    path.write_bytes(HEAD + b"".join(x if isinstance(x, bytes) else line(x) for x in letters))
    return look_at(str(path), settings, (), lambda: NOW)


def prospect(folder: Path, record: dict[str, Any], **settings: Any) -> str:
    """Return what a replay would do with a dead letter, by its name in the JSON."""
    found = look(folder, record, settings=dataclasses.replace(SETTINGS, **settings))
    (name,) = (name for name, letters in found.replay.items() if letters)
    return name


# What a replay would do

OTHER_PIXEL = {**ACCOUNT, "pixel_id": 1}
ACCOUNT_ALONE = {name: ACCOUNT[name] for name in ("customer_id", "api_host")}


@pytest.mark.parametrize(
    ("record", "settings", "expected"),
    [
        (letter(), {}, "sends"),
        (letter(reason="a_reason_of_a_newer_version"), {}, "sends"),
        (letter(written_for=OTHER_PIXEL), {}, "other_account"),
        (letter(written_for=OTHER_PIXEL), {"replay_other_accounts": True}, "sends"),
        (letter(written_for=ACCOUNT_ALONE, pixel_id=1), {}, "sends"),
        (letter(written_for={**ACCOUNT, "customer_id": "b-0000"}), {}, "other_account"),
        (letter(written_for=...), {}, "sends"),
        (letter(event_time=NOW - 8 * DAY), {}, "expired"),
        (letter(event_time=NOW - 8 * DAY, source="offline"), {}, "sends"),
        (letter(event_time=NOW - 8 * DAY, reason="event_too_old"), {}, "expired"),
        (
            letter(event_time=NOW - 8 * DAY, reason="event_too_old"),
            {"default_source": "offline"},
            "sends",
        ),
        (letter(reason="unconfirmed"), {}, "leaves_out"),
        (letter(reason="api_error"), {}, "leaves_out"),
        (letter(reason="api_error"), {"replay_unconfirmed": True}, "sends"),
        (letter(reason="no_identity", sha2=...), {}, "cannot_send"),
        (letter(reason="no_identity"), {}, "sends"),
        (letter(reason="invalid_source", source="pos"), {}, "cannot_send"),
        (letter(reason="mapping_failed"), {}, "cannot_send"),
        (letter(reason="invalid_pixel_id", written_for=...), {}, "sends"),
        (letter(reason="invalid_pixel_id", written_for=...), {"pixel_id": None}, "cannot_send"),
        (letter(scrubbed=["sha2"]), {}, "cannot_send"),
        (letter(consent=False), {}, "dropped"),
    ],
)
def test_what_a_replay_does(
    tmp_path: Path, record: dict[str, Any], settings: dict[str, Any], expected: str
) -> None:
    """A letter is judged as a replay with the same settings judges it at the same time."""
    assert prospect(tmp_path, record, **settings) == expected


def test_somebody_who_must_not_be_sent(tmp_path: Path) -> None:
    """A letter of a person in the file of suppression_path is dropped."""
    people = tmp_path / "people.txt"
    people.write_text(f"{ADDRESS}\n")
    assert prospect(tmp_path, letter(), suppression_path=str(people)) == "dropped"


@pytest.mark.parametrize("event_time", [{"a": 1}, [], "someday", 10**30, True, -(10**30)])
def test_what_people_wrote(tmp_path: Path, event_time: Any) -> None:
    """A letter that cannot be right any more is one that cannot be sent."""
    assert prospect(tmp_path, letter(event_time=event_time)) == "cannot_send"


# Groups


def test_groups(tmp_path: Path) -> None:
    """Letters are grouped by reason and stream, the most frequent first, with first and last."""
    found = look(
        tmp_path,
        letter(reason="missing_key", time="2026-08-01T11:00:00+00:00"),
        letter(time="2026-08-01T14:00:00+02:00", stream="carts"),
        letter(time="2026-08-01T13:00:00"),
        letter(time="2026-08-01T10:00:00Z"),
        letter(time="yesterday"),
        letter(time="0001-01-01T00:00:00+10:00"),
    )
    assert (found.letters, found.files) == (6, 1)
    assert (found.first, found.last) == ("2026-08-01T10:00:00+00:00", "2026-08-01T13:00:00+00:00")
    assert found.replay == {**dict.fromkeys(PROSPECTS, 0), "sends": 6}
    refused, missing = found.reasons
    assert (refused.reason, refused.letters) == ("refused_by_api", 5)
    assert refused.advice == REASONS["refused_by_api"].meaning
    assert [(one.stream, one.letters, one.first, one.last) for one in refused.streams] == [
        ("orders", 4, "2026-08-01T10:00:00+00:00", "2026-08-01T13:00:00+00:00"),
        ("carts", 1, "2026-08-01T12:00:00+00:00", "2026-08-01T12:00:00+00:00"),
    ]
    assert [(one.stream, one.letters) for one in missing.streams] == [("orders", 1)]
    assert sum(one.replay["sends"] for one in (*refused.streams, *missing.streams)) == 6


def test_letters_of_the_program(tmp_path: Path) -> None:
    """What a run writes is shown with its order, its column at fault, and its detail."""
    record = letter_of(rejection(order(event_time="someday", order_id="#7")))
    (reason,) = look(tmp_path, record).reasons
    (stream,) = reason.streams
    (example,) = stream.examples
    assert (reason.reason, stream.stream) == ("invalid_event_time", "orders")
    assert (example.event_id, example.order_id, example.field) == ("1007", "#7", "event_time")
    assert example.keys is None


def test_three_examples(tmp_path: Path) -> None:
    """Of each group, the first three letters are examples."""
    (reason,) = look(tmp_path, *(letter(event_id=str(n)) for n in range(5))).reasons
    (stream,) = reason.streams
    assert [one.event_id for one in stream.examples] == ["0", "1", "2"]


def test_addressees(tmp_path: Path) -> None:
    """Letters are counted by the account and pixel that they were written for."""
    other = {"customer_id": "b-0000", "api_host": "api.example.com"}
    found = look(
        tmp_path, letter(), letter(), letter(), letter(written_for=other), letter(written_for=5)
    )
    named = [(a.customer_id, a.api_host, a.pixel_id, a.letters) for a in found.written_for]
    assert named == [
        ("a-1b2c", "conversions.liveintent.com", "4711", 3),
        ("b-0000", "api.example.com", None, 1),
        (None, None, None, 1),
    ]


def test_an_unknown_reason(tmp_path: Path) -> None:
    """A reason that this version does not know is shown, and so is a letter without one."""
    found = look(tmp_path, letter(reason="new"), letter(reason=..., stream=...))
    assert [one.reason for one in found.reasons] == ["(none)", "new"]
    assert [one.streams[0].stream for one in found.reasons] == ["(none)", "orders"]
    assert all("does not know the reason" in one.advice for one in found.reasons)


def test_names_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names of reasons, streams and accounts come, few are kept."""
    monkeypatch.setattr(tally, "_MOST_GROUPS", 2)
    counted = LetterTally(lambda _: "sends")
    for n in range(10):
        counted.add(letter(stream=f"s{n}", written_for={"customer_id": f"c{n}"}))
        counted.add(letter(reason=f"r{n}", stream=f"s{n}"))
    named = [(r.reason, [(s.stream, s.letters) for s in r.streams]) for r in counted.reasons]
    assert named == [
        ("refused_by_api", [("(others)", 9), ("s0", 1)]),
        ("(others)", [("(others)", 9)]),
        ("r0", [("s0", 1)]),
    ]
    assert [(a.customer_id, a.letters) for a in counted.addressees] == [
        ("a-1b2c", 10),
        ("(others)", 9),
        ("c0", 1),
    ]
    assert counted.prospects["sends"] == counted.letters == 20


# Lines


def test_lines_of_other_kinds(tmp_path: Path) -> None:
    """Empty lines and SCHEMAs do not matter; the first line of something else is named."""
    found = look(
        tmp_path,
        *(b"\n", HEAD, line(letter(), "orders"), b'{"type": "STATE", "value": 1}\n'),
        *(b"no JSON\n", b"\xff\n", line([1]), letter()),
    )
    assert found.letters == 1
    assert found.others.lines == 5
    assert (found.others.first_line, found.others.unfinished) == (4, 0)
    assert found.others.first_file == str(tmp_path / "letters.singer")


def test_json_of_other_programs(tmp_path: Path) -> None:
    """What people's programs write is read as a replay reads it."""
    loose = line(letter(value=float("nan"))).replace(b'"type"', b'"extra": 1, "type"')
    assert look(tmp_path, loose).letters == 1


def test_a_torn_line(tmp_path: Path) -> None:
    """A last line without an end is no letter, unless it is whole."""
    found = look(tmp_path, letter(), line(letter())[:40])
    assert (found.letters, found.others.lines, found.others.unfinished) == (1, 0, 1)
    found = look(tmp_path, letter(), line(letter()).rstrip())
    assert (found.letters, found.others.unfinished) == (2, 0)


def test_a_folder(tmp_path: Path) -> None:
    """The letters of all files of a folder are counted together."""
    for name in ("0-0.singer", "0-1.singer"):
        (tmp_path / name).write_bytes(HEAD + line(letter()) + b'{"ty')
    found = look_at(str(tmp_path), SETTINGS, ["a note"], lambda: NOW)
    assert (found.files, found.letters, found.others.unfinished) == (2, 2, 2)
    assert found.notes == ["a note"]


def test_nothing_there(tmp_path: Path) -> None:
    """Where there is nothing, no file was read."""
    found = look_at(str(tmp_path / "absent"), SETTINGS, (), lambda: NOW)
    assert (found.files, found.letters, found.reasons, found.first) == (0, 0, [], None)


# Privacy


def texts(found: DeadLetters) -> Iterable[str]:
    example = found.reasons[0].streams[0].examples[0]
    yield found.reasons[0].reason
    yield found.reasons[0].streams[0].stream
    yield from (str(example.event_id), str(example.order_id), str(example.field))
    yield from (str(example.detail), str(example.keys))
    yield str(found.written_for[0].customer_id)


def test_no_address_is_shown(tmp_path: Path) -> None:
    """Whatever people wrote into a letter, hashes take the place of its addresses."""
    address = "ann@example.com"
    names = ("event_id", "order_id", "field", "detail", "reason", "stream")
    record = letter(
        **dict.fromkeys(names, f"of {address}"),
        keys={address: [address]},
        written_for={"customer_id": address},
    )
    found = look(tmp_path, record)
    for text in texts(found):
        assert sha256(address) in text
        assert "ann@" not in text


def test_an_address_is_not_cut_in_two(tmp_path: Path) -> None:
    """A long text is cut after its addresses have been replaced."""
    detail = "." * 295 + " ann@example.com " + "x" * 100
    found = look(tmp_path, letter(detail=detail))
    shown = found.reasons[0].streams[0].examples[0].detail
    assert shown is not None
    assert "ann" not in shown
    assert len(shown) == 301


def test_values_of_other_types(tmp_path: Path) -> None:
    """A value that is no text is shown as JSON."""
    found = look(tmp_path, letter(event_id=7, order_id={"a": [1.5, None]}, detail=False))
    example = found.reasons[0].streams[0].examples[0]
    assert (example.event_id, example.order_id) == ("7", '{"a":[1.5,null]}')
    assert example.detail == "false"
