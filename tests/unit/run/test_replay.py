"""What becomes of each dead letter that a replay reads."""

import contextlib
from collections import Counter
from typing import Any

import msgspec
import pytest
from fakes import FakeRun, refuse
from unit_support import DAY, NOW, SETTINGS

from target_liveintent.conversions.model import DEAD_LETTERS, LetterKey
from target_liveintent.errors import AllRefusedError
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.run.replay import ReplayChoice, ReplayConverter, to_replay
from target_liveintent.singer.replaying import replay_letters

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


def converter(**choice: bool) -> ReplayConverter:
    """Return what converts the dead letters of a replay with these options."""
    return ReplayConverter(
        SETTINGS, Suppressions(None), ReplayChoice(**choice), Counter(), lambda: NOW
    )


def replayed(letter: dict[str, Any], **choice: bool) -> tuple[FakeRun, str]:
    """Replay a dead letter; return the run, and `sent` or what becomes of the letter, and why."""
    fake = FakeRun()
    replay_letters(fake.run, converter(**choice), [(KEY, letter)], lambda: False)
    counts = fake.run.counts.of(DEAD_LETTERS)
    assert (counts.read, counts.unsettled, [*fake.run.counts.streams]) == (1, 0, [DEAD_LETTERS])
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
        (GOOD, "sent"),
        (
            {**GOOD, "reason": "invalid_event_time", "event_time": "?"},
            "rejected: invalid_event_time",
        ),
        (UNCONFIRMED, "not_replayed: unconfirmed"),
        ({**GOOD, "reason": "api_error"}, "not_replayed: api_error"),
        ({**GOOD, "reason": "mapping_failed"}, "not_replayed: mapping_failed"),
        (OF_OTHERS, "not_replayed: other_account"),
        # The pixel of the record counts, and not the one that the setting had then.
        ({**GOOD, "pixel_id": 9, "written_for": {"pixel_id": 7}}, "sent"),
        ({**GOOD, "written_for": {"pixel_id": 7}}, "not_replayed: other_account"),
        # Consent is obeyed before a dead letter is kept.
        ({**UNCONFIRMED, "consent": False}, "dropped: no_consent"),
        ({**OF_OTHERS, "consent": "no"}, "dropped: no_consent"),
        # One whose window has closed is dropped, whatever its reason is.
        *(
            ({**TOO_OLD, "reason": reason}, "dropped: expired")
            for reason in ("event_too_old", "api_error", "refused_by_api", "unconfirmed")
        ),
        ({**TOO_OLD, "reason": "invalid_source", "source": "till"}, "dropped: expired"),
        # One that was too old is sent if its window is open with the settings of the replay.
        ({**GOOD, "reason": "event_too_old"}, "sent"),
        # Somebody may have taken its event ID out: then one is derived.
        ({name: value for name, value in GOOD.items() if name != "event_id"}, "sent"),
        # Its text is not what came, so that the setting's source does not stand for it.
        ({**GOOD, "source": "x", "scrubbed": {"source": "x"}}, "rejected: invalid_source"),
        ({**GOOD, "source": "app", "scrubbed": {"source": "x"}}, "sent"),  # It was edited.
        # A reason that this version does not know keeps nothing from being sent.
        ({**GOOD, "reason": "of_the_future"}, "sent"),
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


@pytest.mark.parametrize(
    ("letter", "choice", "outcome"),
    [
        (UNCONFIRMED, "unconfirmed", "sent"),
        ({**GOOD, "reason": "api_error"}, "unconfirmed", "sent"),
        ({**GOOD, "reason": "mapping_failed"}, "unconfirmed", "not_replayed: mapping_failed"),
        (UNCONFIRMED, "other_accounts", "not_replayed: unconfirmed"),
        (OF_OTHERS, "other_accounts", "sent"),
        (OF_OTHERS, "unconfirmed", "not_replayed: other_account"),
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


@pytest.mark.parametrize(("refused", "accepted"), [(99, 0), (100, 0), (100, 1)])
def test_many_refusals(refused: int, accepted: int) -> None:
    """From a hundred on, the settings are probably wrong, unless something was accepted."""
    names = [f"bad {n}" for n in range(refused)] + ["ok"] * accepted

    def deliver(batch: Any) -> Any:
        return refuse(batch, *(one.event_id for one in batch.conversions if one.event_id != "ok"))

    fake = FakeRun(deliver=deliver, max_dead_letter_percent=100)
    letters = [(KEY._replace(event_id=name), {**GOOD, "event_id": name}) for name in names]
    is_wrong = refused == 100 and not accepted
    fails = pytest.raises(AllRefusedError, match="refused all 100 events")
    with fails if is_wrong else contextlib.nullcontext():
        replay_letters(fake.run, converter(), letters, lambda: False)


def test_a_stopped_replay() -> None:
    """It reads no further, and sends what it has read."""
    fake = FakeRun()
    replay_letters(fake.run, converter(), LETTERS, iter([False, True]).__next__)
    assert fake.run.counts.of(DEAD_LETTERS).read == 2
    assert fake.submitted == [["a", "b"]]


def test_a_slow_replay() -> None:
    """An event waits no longer than in a run."""
    fake = FakeRun()

    def pass_a_minute() -> bool:
        fake.clock.now += 61.0
        return False

    replay_letters(fake.run, converter(), LETTERS, pass_a_minute)
    assert fake.submitted == [["a", "b"], ["c"]]
