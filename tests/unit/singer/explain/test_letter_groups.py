"""What `dead-letters` finds: which groups there are, what a replay would do, what is printed."""

import contextlib
import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes import FakeClock
from syrupy.assertion import SnapshotAssertion
from unit_support import ADDRESS, DAY, NOW, SETTINGS, SHA2, TIME, order, rejection, sha256
from unit_support import letter as letter_of

from target_liveintent.conversions.event_model import LetterKey
from target_liveintent.explain.letter_groups import DeadLetters, Example, look_at
from target_liveintent.printing import lines_of
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.run.replay_converter import PROSPECTS, ReplayChoice, ReplayConverter
from target_liveintent.settings import Settings
from target_liveintent.store.dead_letters import DeadLetter, imported
from target_liveintent.store.ledger import Ledger
from target_liveintent.store.opening import empty_store, open_store

WRITTEN = "2026-08-01T10:00:00Z"
ACCOUNT = {"customer_id": "a-1b2c", "api_host": "conversions.liveintent.com", "pixel_id": 4711}


LEDGER = Ledger(arrived=7, replayable=2)


def letter(**changes: Any) -> dict[str, Any]:
    """Return a dead letter that the API refused and a replay sends; `...` removes a member."""
    record = {
        "event_id": "7",
        "event_time": TIME,
        "sha2": SHA2,
        "reason": "refused_by_api",
        "stream": "orders",
        "time": WRITTEN,
        "written_for": ACCOUNT,
        **changes,
    }
    return {name: value for name, value in record.items() if value is not ...}


def look(
    folder: Path,
    *letters: dict[str, Any],
    settings: Settings = SETTINGS,
    choice: ReplayChoice = ReplayChoice(),  # noqa: B008 (it does not change)
) -> DeadLetters:
    """Look at a store with these letters, which may be what nobody writes."""
    settings = msgspec.structs.replace(settings, store=str(folder / "store.sqlite"))
    clock = FakeClock()
    store = open_store(settings.storage, "run-1", clock)
    with contextlib.closing(store):
        for number, one in enumerate(letters):
            written = one.get("time", WRITTEN).replace("Z", "+00:00")
            clock.now = dt.datetime.fromisoformat(written).timestamp()
            name, pixel = one.get("stream", ""), int("written_for" in one)
            key = LetterKey("a-1b2c", "a host", name, f"{number:04}", pixel)
            store.import_letters([DeadLetter(key, one, None)])
        converter = ReplayConverter(
            settings.account,
            settings.events,
            Suppressions(settings.suppression_path),
            choice,
            lambda: NOW,
        )
        return look_at(store.database, converter, ["a note"], LEDGER)


# What a replay would do

OLD = {"event_time": NOW - 8 * DAY}
UNCONFIRMED, OTHER_ACCOUNTS = {"unconfirmed": True}, {"other_accounts": True}
OTHER_PIXEL = {"written_for": {**ACCOUNT, "pixel_id": 1}}


@pytest.mark.parametrize(
    ("changes", "options", "expected"),
    [
        pytest.param({}, {}, "sends", id="a good letter"),
        pytest.param(OTHER_PIXEL, {}, "other_account", id="another pixel"),
        pytest.param(OTHER_PIXEL, OTHER_ACCOUNTS, "sends", id="another pixel is allowed"),
        pytest.param(OLD, {}, "expired", id="too old"),
        pytest.param(
            {"reason": "unconfirmed"}, OTHER_ACCOUNTS, "leaves_out", id="perhaps delivered already"
        ),
        pytest.param({"reason": "api_error"}, {}, "leaves_out", id="an API error"),
        pytest.param({"reason": "api_error"}, UNCONFIRMED, "sends", id="API errors are allowed"),
        pytest.param(
            {"reason": "no_identity", "sha2": ...},
            UNCONFIRMED,
            "cannot_send",
            id="nobody is identified",
        ),
        pytest.param({"reason": "mapping_failed"}, {}, "cannot_send", id="a failed mapping"),
        pytest.param({"event_time": {"a": 1}}, {}, "cannot_send", id="a time nobody can read"),
        pytest.param({"consent": False}, {}, "dropped", id="consent was denied"),
        pytest.param(
            {}, {"suppression_path": "people.txt"}, "dropped", id="on the suppression list"
        ),
    ],
)
def test_what_a_replay_does(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], expected: str
) -> None:
    """A letter is judged as a replay with the same settings judges it at the same time."""
    given = dict(options)
    chosen = {name: given.pop(name) for name in ReplayChoice._fields if name in given}
    if "suppression_path" in given:
        given["suppression_path"] = str(tmp_path / "people.txt")
        (tmp_path / "people.txt").write_text(f"{ADDRESS}\n")
    found = look(
        tmp_path,
        letter(**changes),
        settings=msgspec.structs.replace(SETTINGS, **given),
        choice=ReplayChoice(**chosen),
    )
    assert [name for name, letters in found.replay.items() if letters] == [expected]


# Groups


def test_an_unknown_reason(tmp_path: Path) -> None:
    """A reason that this version does not know is shown, and so is a letter without one."""
    found = look(tmp_path, letter(reason="new"), letter(reason=..., stream=...))
    assert [one.reason for one in found.reasons] == ["(none)", "new"]
    assert [one.streams[0].stream for one in found.reasons] == ["(none)", "orders"]
    assert all("does not know the reason" in one.advice for one in found.reasons)


# What is shown of a letter


def test_no_address_is_shown(tmp_path: Path) -> None:
    """Whatever people wrote into a letter that is imported, hashes take the place of addresses."""
    names = ("event_id", "order_id", "field", "detail", "reason", "stream")
    record = letter(
        **dict.fromkeys(names, f"{'.' * 295} ann@example.com"),
        keys={"ann@example.com": ["ann@example.com"]},
        written_for={"customer_id": "ann@example.com"},
    )
    shown = look(tmp_path, dict(imported(record, SETTINGS.account, SETTINGS.events).record))
    text = msgspec.json.encode(shown).decode()
    assert "ann@" not in text
    assert f"{'.' * 295} {sha256('ann@example.com')[:4]}…" in text


LONG = "x" * 300
EXAMPLES = [
    # What a run writes, with its order, its column at fault, and its detail.
    (
        letter_of(rejection(order(event_time="someday", order_id="#7"))),
        Example("1007", "#7", "event_time", "a value of the form x is not a time", None),
    ),
    # A value that is no text is shown as JSON.
    (
        letter(event_id=7, order_id={"a": [1.5, None]}, detail=False),
        Example("7", '{"a":[1.5,null]}', None, "false", None),
    ),
    # A text of more than 300 characters is cut.
    (letter(order_id=LONG, detail=f"{LONG}x"), Example("7", LONG, None, f"{LONG}…", None)),
]


@pytest.mark.parametrize(("record", "shown"), EXAMPLES, ids=["written", "values", "long"])
def test_examples(tmp_path: Path, record: dict[str, Any], shown: Example) -> None:
    (reason,) = look(tmp_path, record).reasons
    assert reason.reason == record["reason"]
    assert [(one.stream, one.examples) for one in reason.streams] == [("orders", [shown])]


# What is printed


def as_lines(found: DeadLetters) -> list[str]:
    return lines_of("explain/dead_letters.txt", found)


def test_what_is_printed(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    """Each number has its words; what does not occur is not mentioned."""
    late = "2026-08-02T10:00:00Z"
    found = look(
        tmp_path,
        *[letter()] * 997,
        *[letter(**OLD), letter(**OTHER_PIXEL)] * 2,
        letter(**OLD, written_for=..., reason="no_identity", stream="carts"),
        letter(stream="carts"),
        *(letter(event_id=...), letter(event_id="8", keys={"id": 8})),
        letter(event_id="7", order_id="#7", field="value", detail="too much", time=late),
    )
    assert "\n".join(as_lines(found)) == snapshot


def test_many_letters(
    tmp_path: Path, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are counted; what a replay does is said of the newest ones, of each group as many."""
    monkeypatch.setattr("target_liveintent.explain.letter_groups._MOST_JUDGED", 8)
    found = look(
        tmp_path,
        *[letter(**OLD)] * 5,
        *[letter(time="2026-08-02T10:00:00Z")] * 5,
        *[letter(stream="carts")] * 2,
        letter(reason="unconfirmed"),
    )
    assert (found.letters, found.judged) == (13, 8)
    assert "\n".join(as_lines(found)) == snapshot
    monkeypatch.setattr("target_liveintent.explain.letter_groups._MOST_GROUPS_JUDGED", 2)
    judged = [one.judged for reason in look(tmp_path).reasons for one in reason.streams]
    assert judged == [6, 2, 0]


def test_no_letters(tmp_path: Path) -> None:
    """It is the same without a store."""
    with contextlib.closing(empty_store()) as database:
        converter = ReplayConverter(
            SETTINGS.account, SETTINGS.events, Suppressions(None), ReplayChoice()
        )
        nothing = look_at(database, converter, ["a note"], Ledger())
    counted = f"Events of the last 91 days: {LEDGER.words}"
    for found, lines in ((look(tmp_path), [counted]), (nothing, [])):
        assert as_lines(found) == ["a note", *lines, "There are no dead letters in the store."]
        assert (found.letters, found.reasons, found.written_for, found.first) == (0, [], [], None)
        assert (found.replay, found.version) == (dict.fromkeys(PROSPECTS, 0), 1)
