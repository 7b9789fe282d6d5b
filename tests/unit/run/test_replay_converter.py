"""What becomes of each dead letter that a replay reads."""

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes import FakeRun, refuse
from unit_support import DAY, NOW, SETTINGS, md5, sha256, suppressing

from target_liveintent.conversions.event_model import DEAD_LETTERS, Conversion, LetterKey, Rejection
from target_liveintent.errors import AllRefusedError
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.run.kinds import REPLAY_RUN
from target_liveintent.run.replay_converter import ReplayChoice, ReplayConverter, to_replay
from target_liveintent.singer.replay_input import replay_letters
from target_liveintent.store.dead_letters import letter_of

NOBODY = Suppressions(None)
GOOD = {
    "stream": "orders",
    "event_id": "1",
    "reason": "refused_by_api",
    "event_time": int(NOW) - 60,
    "md5": "29a1df4646cb3417c19994a59a3e022a",
}
UNCONFIRMED = {**GOOD, "reason": "unconfirmed"}
TOO_OLD = {**GOOD, "source": "offline", "event_time": int(NOW) - 30 * DAY + 60}
OTHER = {"customer_id": "b-9z9z", "api_host": "api.example.com", "pixel_id": 7}
OF_OTHERS = {**GOOD, "written_for": OTHER}
KEY = LetterKey("a-1b2c", "conversions.liveintent.com", "orders", "1", 4711)
LETTERS = [(KEY._replace(event_id=name), {**GOOD, "event_id": name}) for name in "abc"]


def converter(people: Suppressions = NOBODY, **choice: bool) -> ReplayConverter:
    """Return what converts the dead letters of a replay with these options."""
    account, events = SETTINGS.account, SETTINGS.events
    return ReplayConverter(account, events, people, ReplayChoice(**choice), lambda: NOW)


def replayed(letter: dict[str, Any], **choice: bool) -> tuple[FakeRun, str]:
    """Replay a dead letter; return the run, and `sent` or what becomes of the letter, and why."""
    fake = FakeRun(parts={"kind": REPLAY_RUN})
    replay_letters(fake.run, converter(**choice), [(KEY, letter)], lambda: False)
    counts = fake.run.counts.of(DEAD_LETTERS)
    assert (counts.read, counts.without_outcome, [*fake.run.counts.streams]) == (
        1,
        0,
        [DEAD_LETTERS],
    )
    if counts.delivered:
        ((sent,),) = [batch.conversions for batch in fake.delivery.submitted]
        assert (sent.stream, sent.letter) == ("orders", KEY)
        return fake, "sent"
    assert fake.submitted == []
    for kind in ("not_replayed", "dropped", "rejected"):
        for reason in getattr(counts, kind):
            return fake, f"{kind}: {reason}"
    pytest.fail("the dead letter has no outcome")


@pytest.mark.parametrize(
    ("letter", "outcome"),
    [
        pytest.param(GOOD, "sent", id="a good letter"),
        # A table of dead letters has all columns; only an answer that is kept counts.
        pytest.param(
            {**GOOD, "consent": None, "value": None}, "sent", id="empty columns of a table"
        ),
        pytest.param({**GOOD, "consent": "no"}, "dropped: no_consent", id="consent was denied"),
        pytest.param(
            {**GOOD, "reason": "invalid_event_time", "event_time": "?"},
            "rejected: invalid_event_time",
            id="a time nobody can read",
        ),
        pytest.param(UNCONFIRMED, "not_replayed: unconfirmed", id="perhaps delivered already"),
        pytest.param({**GOOD, "reason": "api_error"}, "not_replayed: api_error", id="an API error"),
        pytest.param(
            {**GOOD, "reason": "mapping_failed"},
            "not_replayed: mapping_failed",
            id="a failed mapping",
        ),
        pytest.param(OF_OTHERS, "not_replayed: other_account", id="of another account"),
        # The pixel of the record counts, and not the one that the setting had then.
        pytest.param(
            {**GOOD, "pixel_id": 9, "written_for": {"pixel_id": 7}},
            "sent",
            id="its own pixel counts",
        ),
        pytest.param(
            {**GOOD, "written_for": {"pixel_id": 7}},
            "not_replayed: other_account",
            id="of another pixel",
        ),
        # Consent is obeyed before a dead letter is kept.
        pytest.param(
            {**UNCONFIRMED, "consent": False},
            "dropped: no_consent",
            id="perhaps delivered, consent denied",
        ),
        pytest.param(
            {**OF_OTHERS, "consent": "no"},
            "dropped: no_consent",
            id="another account, consent denied",
        ),
        # A letter that somebody has edited, or an older version wrote, is sent if there is no list.
        pytest.param({**GOOD, "all_hashes": ["x"]}, "sent", id="an edited list of hashes"),
        # One whose window has closed is dropped, whatever its reason is.
        *(
            pytest.param(
                {**TOO_OLD, "reason": reason}, "dropped: expired", id=f"window closed, {reason}"
            )
            for reason in ("event_too_old", "api_error", "refused_by_api", "unconfirmed")
        ),
        pytest.param(
            {**TOO_OLD, "reason": "invalid_source", "source": "till"},
            "dropped: expired",
            id="window closed, no usable source",
        ),
        # One that was too old is sent if its window is open with the settings of the replay.
        pytest.param({**GOOD, "reason": "event_too_old"}, "sent", id="window open again"),
        # Somebody may have taken its event ID out: then one is derived.
        pytest.param(
            {name: value for name, value in GOOD.items() if name != "event_id"},
            "sent",
            id="no event ID",
        ),
        # Its text is not what came, so that the setting's source does not stand for it.
        pytest.param(
            {**GOOD, "source": "x", "scrubbed": {"source": "x"}},
            "rejected: invalid_source",
            id="a scrubbed source",
        ),
        pytest.param(
            {**GOOD, "source": "app", "scrubbed": {"source": "x"}},
            "sent",
            id="a scrubbed source was edited",
        ),  # It was edited.
        # A reason that this version does not know keeps nothing from being sent.
        pytest.param({**GOOD, "reason": "of_the_future"}, "sent", id="an unknown reason"),
    ],
)
def test_what_becomes_of_a_dead_letter(letter: dict[str, Any], outcome: str) -> None:
    """It is sent, stays as it is, goes, or is rejected again for the stream that it came from."""
    fake, found = replayed(letter)
    assert found == outcome
    kind, _, reason = outcome.partition(": ")
    happened = {
        "sent": ["claim", "deliver", "confirm", "release"],
        "not_replayed": ["release"],  # The store is told of nothing.
        "dropped": [f"drop as {reason}", "release"],
        "rejected": ["reject", "release"],
    }
    assert fake.happened == happened[kind]
    for rejection in fake.outcomes.rejections:
        assert (rejection.stream, rejection.letter) == ("orders", KEY)


@pytest.mark.promise("A dead letter is sent only to the account and pixel for which it was written")
@pytest.mark.parametrize(
    ("letter", "choice", "outcome"),
    [
        pytest.param(UNCONFIRMED, "unconfirmed", "sent", id="unconfirmed sends unconfirmed ones"),
        pytest.param(
            {**GOOD, "reason": "api_error"},
            "unconfirmed",
            "sent",
            id="unconfirmed sends API errors",
        ),
        pytest.param(
            {**GOOD, "reason": "mapping_failed"},
            "unconfirmed",
            "not_replayed: mapping_failed",
            id="unconfirmed sends no failed mapping",
        ),
        pytest.param(
            UNCONFIRMED,
            "other_accounts",
            "not_replayed: unconfirmed",
            id="other accounts sends no unconfirmed",
        ),
        pytest.param(OF_OTHERS, "other_accounts", "sent", id="other accounts sends theirs"),
        pytest.param(
            OF_OTHERS,
            "unconfirmed",
            "not_replayed: other_account",
            id="unconfirmed sends no other accounts",
        ),
    ],
)
def test_the_options(letter: dict[str, Any], choice: str, outcome: str) -> None:
    """Each option sends what it names, and nothing else."""
    assert replayed(letter, **{choice: True})[1] == outcome


def test_no_column_that_holds_a_hash_of_an_address_is_sent() -> None:
    """Such a hash is no order ID, until it was edited; nor does any map change a dead letter."""
    letter = {**GOOD, "order_id": "0", "currency": "EUR", "scrubbed": {"order_id": "0"}}
    assert "order_id" not in to_replay(letter)  # Nothing is left out that a warning should count.
    for edited, purchase in ({}, {}), ({"order_id": "1"}, {"orderId": "1"}):
        (batch,) = replayed({**letter, **edited})[0].delivery.submitted
        body = msgspec.json.decode(batch.conversions[0].body)
        assert body["purchaseData"] == {"currency": "EUR", **purchase}


@pytest.mark.parametrize(
    ("refused", "accepted"),
    [(99, 0), (100, 0), (100, 1)],
    ids=["fewer than a hundred", "a hundred", "a hundred and one accepted"],
)
def test_many_refusals(refused: int, accepted: int) -> None:
    """From a hundred on, the settings are probably wrong, unless something was accepted."""
    names = [f"bad {n}" for n in range(refused)] + ["ok"] * accepted

    def deliver(batch: Any) -> Any:
        return refuse(batch, *(one.event_id for one in batch.conversions if one.event_id != "ok"))

    fake = FakeRun(deliver=deliver, parts={"kind": REPLAY_RUN}, max_dead_letter_percent=100)
    letters = [(KEY._replace(event_id=name), {**GOOD, "event_id": name}) for name in names]
    is_wrong = refused == 100 and not accepted
    fails = pytest.raises(AllRefusedError, match="refused 100 events that it had not")
    with fails if is_wrong else contextlib.nullcontext():
        replay_letters(fake.run, converter(), letters, lambda: False)


def test_a_stopped_replay() -> None:
    """It reads no further, and sends what it has read."""
    fake = FakeRun(parts={"kind": REPLAY_RUN})
    replay_letters(fake.run, converter(), LETTERS, iter([False, True]).__next__)
    assert fake.run.counts.of(DEAD_LETTERS).read == 2
    assert fake.submitted == [["a", "b"]]


def test_a_slow_replay() -> None:
    """An event waits no longer than in a run."""
    fake = FakeRun(parts={"kind": REPLAY_RUN})

    def pass_a_minute() -> bool:
        fake.clock.now += 61.0
        return False

    replay_letters(fake.run, converter(), LETTERS, pass_a_minute)
    assert fake.submitted == [["a", "b"], ["c"]]


JOHN = "john.doe@example.com"
OF_JOHN = {**GOOD, "md5": md5(JOHN), "all_hashes": [md5(JOHN), sha256("johndoe@example.com")]}
NOBODY_KNOWN = {**GOOD, "md5": None, "decision_id": "x-1"}
EDITED = {**OF_JOHN, "md5": md5("jane@example.com")}


@pytest.mark.promise("You can exclude people")
@pytest.mark.parametrize(
    ("letter", "listed", "outcome"),
    [
        pytest.param(OF_JOHN, "jane@example.com", "sent", id="somebody else is listed"),
        # People who were listed later are found by each of their hashes; no data of them stay.
        pytest.param(OF_JOHN, JOHN, "suppressed", id="listed by address"),
        pytest.param(OF_JOHN, md5(JOHN), "suppressed", id="listed by hash"),
        pytest.param(
            OF_JOHN, "johnd.oe+x@example.com", "suppressed", id="listed by another spelling"
        ),
        pytest.param(
            OF_JOHN,
            sha256("johndoe@example.com"),
            "suppressed",
            id="listed by hash of normalized address",
        ),
        pytest.param(
            {**OF_JOHN, "reason": "unconfirmed"}, JOHN, "suppressed", id="listed and unconfirmed"
        ),
        pytest.param(
            {**OF_JOHN, "written_for": OTHER}, JOHN, "suppressed", id="listed, of another account"
        ),
        pytest.param(
            {**OF_JOHN, "source": "till"}, JOHN, "suppressed", id="listed, without usable source"
        ),
        # What cannot be compared stays, unless what is known is on the list.
        pytest.param(GOOD, "x@example.com", "not_compared", id="no comparison, no list of hashes"),
        pytest.param(
            {**OF_JOHN, "all_hashes": [7]},
            "x@example.com",
            "not_compared",
            id="no comparison, a number as hash",
        ),
        pytest.param(
            {**OF_JOHN, "all_hashes": [md5(JOHN), "x"]},
            "x@example.com",
            "not_compared",
            id="no comparison, one broken hash",
        ),
        pytest.param(
            {**OF_JOHN, "sha2": ["x"]},
            "x@example.com",
            "not_compared",
            id="no comparison, a broken column",
        ),
        pytest.param(EDITED, "x@example.com", "not_compared", id="edited, nobody listed"),
        pytest.param(EDITED, JOHN, "not_compared", id="edited, its former person listed"),
        pytest.param(EDITED, "jane@example.com", "suppressed", id="edited, its new person listed"),
        pytest.param(
            {**EDITED, "all_hashes": 1},
            "jane@example.com",
            "suppressed",
            id="edited, no list, person listed",
        ),
        pytest.param(
            {**GOOD, "written_for": OTHER},
            "x@example.com",
            "other_account",
            id="another account, somebody else listed",
        ),
        # Nobody can be listed who has no hash.
        pytest.param(
            {**NOBODY_KNOWN, "all_hashes": []}, "x@example.com", "sent", id="nobody to be listed"
        ),
        pytest.param(
            NOBODY_KNOWN, "x@example.com", "not_compared", id="an address nobody could read"
        ),  # Its address could not be read.
    ],
)
def test_people_who_were_listed_later(
    tmp_path: Path, letter: dict[str, Any], listed: str, outcome: str
) -> None:
    """A replay sends nobody who is listed, nor anybody of whom it cannot know this."""
    result = converter(suppressing(tmp_path, listed)).convert(letter)
    assert (result.reason if isinstance(result, Rejection) else "sent") == outcome


@pytest.mark.parametrize(
    "kept", [OF_JOHN, EDITED, GOOD], ids=["list of all hashes", "edited hash", "no list of hashes"]
)
@pytest.mark.parametrize(
    "changes", [{}, {"source": "till"}], ids=["usable source", "no usable source"]
)
def test_a_letter_that_is_written_again_knows_the_same_hashes(
    tmp_path: Path, kept: dict[str, Any], changes: dict[str, Any]
) -> None:
    """So the next replay can compare it as well as this one, and no better."""
    result = converter().convert(kept | changes)
    if isinstance(result, Conversion):
        result = result.rejected("refused_by_api", None, None)
    assert isinstance(result, Rejection)
    again = {**letter_of(result, SETTINGS.account, SETTINGS.events, "run-2", NOW).record}
    for entry in ("x@example.com", JOHN, sha256("johndoe@example.com")):
        people = suppressing(tmp_path, entry)
        before, now = (converter(people).convert({**one, "source": "web"}) for one in (kept, again))
        assert getattr(before, "reason", "sent") == getattr(now, "reason", "sent")
