"""Consent and suppression: who must not be sent. They are judged before everything else."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from unit_support import (
    ADDRESS,
    BARE,
    DAY,
    MD5,
    NOW,
    SHA2,
    conversion,
    order,
    rejection,
    replayed,
    sent_again,
    suppressing,
)

from target_liveintent.conversions.model import Rejection
from target_liveintent.reasons import REASONS

YES: list[Any] = [
    *(True, 1, 1.0, Decimal("1.0"), "1", "yes", "YES", " Granted ", "granted", "true", "TRUE"),
]
NO: list[Any] = [
    *(None, "", " ", False, 0, 0.0, 2, -1, 1.5, Decimal("1.5"), float("nan"), Decimal("NaN")),
    *("no", "false", "0", "2", "denied", "y", "on", "t", "ok", "null", "None", "NaN", "yes!"),
    *("not granted", "unknown", "1.5", "\ud800", ["yes"], [True], {"granted": True}, [], {}, b"1"),
]


@pytest.mark.parametrize("value", YES, ids=repr)
def test_consent_that_is_given(value: Any) -> None:
    """True, 1, yes and granted, in upper or lower case, give consent; the column is never sent."""
    assert conversion(order(consent=value)).body == conversion(order()).body


@pytest.mark.parametrize("value", NO, ids=repr)
def test_everything_else_is_no_consent(value: Any) -> None:
    """Every other value means no, so that nothing is sent by mistake."""
    rejected = rejection(order(consent=value))
    assert (rejected.reason, rejected.field) == ("no_consent", "consent")
    assert not REASONS[rejected.reason].letter


def test_the_schema_decides_whether_a_stream_needs_consent() -> None:
    """Where it has the column, a record without it has no consent; else it is not read."""
    assert rejection(order(), properties=[*order(), "consent"]).reason == "no_consent"
    conversion(order())
    conversion(order(consent=False), properties=list(order()))


@pytest.mark.parametrize(
    "changes",
    [
        {"event_time": None},
        {"event_time": int(NOW) - 90 * DAY},
        {"source": "pos"},
        {"email": None},
        {"event_id": ...},
    ],
)
def test_both_come_before_any_other_reason(changes: dict[str, Any], tmp_path: Path) -> None:
    """A record that must not be sent is not judged further, so that it gives no dead letter."""
    other: dict[str, Any] = {"keys": ["id"], "violation": "x breaks"}
    record = order(**changes)
    assert rejection({**record, "consent": "no"}, **other).reason == "no_consent"
    rejected = rejection(record, **other, suppressions=suppressing(tmp_path, ADDRESS))
    assert rejected.reason == ("suppressed" if record["email"] else "schema_violation")


def test_no_consent_before_suppression(tmp_path: Path) -> None:
    """A suppressed person without consent counts as one without consent."""
    people = suppressing(tmp_path, ADDRESS)
    assert rejection(order(consent="no"), suppressions=people).reason == "no_consent"
    assert rejection(order(consent="yes"), suppressions=people).reason == "suppressed"


@pytest.mark.parametrize(
    "identity",
    [
        {"email": ADDRESS},
        {"email": f" {ADDRESS.upper()} "},
        {"email": MD5},
        {"email": ..., "md5": MD5.upper()},
        {"email": ..., "sha2": SHA2},
        {"email": ..., "md5": ADDRESS},
        {"email": ..., "userData": {"sha2": SHA2}},
        {"email": "johndoe@gmail.com", "sha2": "b" * 64},
    ],
)
def test_every_identity_of_a_person_is_suppressed(identity: dict[str, Any], tmp_path: Path) -> None:
    """The list applies in every column and spelling that an identity may have."""
    rejected = rejection(order(**identity), suppressions=suppressing(tmp_path, ADDRESS))
    assert (rejected.reason, rejected.field) == ("suppressed", None)
    conversion(order(**identity), suppressions=suppressing(tmp_path, "other@example.com"))


def test_an_event_without_an_address_is_not_suppressed(tmp_path: Path) -> None:
    """A decision ID identifies a click, and the list contains people."""
    people = suppressing(tmp_path, ADDRESS)
    assert conversion(order(email=None, decision_id="d"), suppressions=people).event_id == "1007"


def test_a_replay_obeys_consent_and_suppression(tmp_path: Path) -> None:
    """A dead letter is sent with consent, or if its stream has none, but not against either."""
    for record in (order(consent="yes"), order()):
        assert sent_again(conversion(record)) == conversion(order()).body
    withdrawn = replayed(rejection(order(event_time=None), defaults=BARE), consent="no")
    added = replayed(conversion(order()), suppressions=suppressing(tmp_path, ADDRESS))
    assert isinstance(withdrawn, Rejection)
    assert isinstance(added, Rejection)
    assert (withdrawn.reason, added.reason) == ("no_consent", "suppressed")
