"""Columns that identify nobody, and what to do about records without an identity."""

from __future__ import annotations

import pytest

from target_liveintent.reasons import NO_IDENTITY, REASONS
from target_liveintent.run.identification import Identification, what_to_do


def found(
    events: int, unidentified: int = 0, mapped: str = "email", **left_out: int
) -> Identification:
    """Return what identified a stream; `email_empty` stands for the key `email empty`."""
    counts = {name.replace("_empty", " empty"): count for name, count in left_out.items()}
    return Identification("orders", events, unidentified, frozenset(mapped.split()), counts)


@pytest.mark.parametrize(
    ("one", "idle"),
    [
        # At least 98 % of at least 50 events, empty and unusable ones together.
        (found(49, email_empty=49), ""),
        (found(50, email_empty=50), "email"),
        (found(50, email_empty=48), ""),
        (found(50, email_empty=49), "email"),
        (found(1_000, email_empty=979), ""),
        (found(1_000, email_empty=980), "email"),
        (found(1_000, email=980), "email"),
        (found(1_000, email=480, email_empty=500), "email"),
        (found(1_000, value_empty=1_000), ""),
        (found(1_000), ""),
        # A column that is only empty is no mistake where another one stands in for it.
        (found(100, 0, "email md5", email_empty=100), ""),
        (found(100, 0, "email md5", email_empty=100, md5_empty=50), ""),
        (found(100, 0, "email md5", email_empty=100, md5_empty=51), "email"),
        (found(100, 0, "md5 sha2", sha2_empty=99), ""),
        (
            found(100, 0, "email md5 sha2", email_empty=100, md5_empty=100, sha2=98),
            "email md5 sha2",
        ),
        # What it has is no address, as in a column of names.
        (found(100, 0, "email md5", email=100), "email"),
        (found(100, 0, "email md5", email=60, email_empty=40), "email"),
        # Few buyers come from an ad, so an empty decision ID, which is no e-mail, is a mistake only
        # where nobody is identified.
        (found(100, 0, "email decision_id", email_empty=100), "email"),
        (found(100, 0, "decision_id", decision_id_empty=100), ""),
        (found(100, 60, "email decision_id", decision_id_empty=100), ""),
        (found(100, 98, "email decision_id", decision_id_empty=100), "decision_id"),
        (found(100, 98, "decision_id", decision_id_empty=100), "decision_id"),
        (found(100, 98, "decision_id", decision_id_empty=97), ""),
        (found(100, 0, "decision_id", decision_id=98), "decision_id"),
    ],
)
def test_columns_that_identify_nobody(one: Identification, idle: str) -> None:
    """A column that gave nothing in nearly all of many events is probably a mistake."""
    assert one.idle() == idle.split()


def test_the_warning() -> None:
    """It has the column and the figures, and nothing of a record."""
    (said,) = found(500, email=12, email_empty=481).idle_columns()
    assert said == (
        "in 493 of 500 events, the column email did not identify a person (481 empty, 12 unusable)."
        " Check what is mapped to email"
    )
    # A column of unusable values has another warning, which shows how they are written.
    assert list(found(500, email=481, email_empty=12).idle_columns()) == []
    assert list(found(500, email=400).idle_columns()) == []
    # An empty decision ID beside a page's that cannot be used is one event.
    (said,) = found(100, 100, "decision_id", decision_id=40, decision_id_empty=100).idle_columns()
    assert "in 100 of 100 events, the column decision_id" in said
    assert "(60 empty, 40 unusable)" in said


# What to do about `no_identity`

UNMAPPED = "No e-mail address is mapped in stream orders: map email, md5 or sha2."
IDLE = "In stream orders, almost no event has a usable value in {0}: check what is mapped to {0}."
GUESTS = REASONS["no_identity"].meaning
PAGES = " The URLs in source_url of {} have no li_did."
WITH_PAGES = f"{NO_IDENTITY} Guest orders often have none."


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (found(20, 20, "decision_id"), f"{NO_IDENTITY} {UNMAPPED}"),
        (found(20, 20, ""), f"{NO_IDENTITY} {UNMAPPED}"),
        (found(10, 10, email_empty=10), f"{NO_IDENTITY} {IDLE.format('email')}"),
        (found(100, 90, email=98), f"{NO_IDENTITY} {IDLE.format('email')}"),
        (
            found(10, 10, "email md5", email=10, md5_empty=10),
            f"{NO_IDENTITY} {IDLE.format('email, md5')}",
        ),
        (found(9, 9, email_empty=9), GUESTS),
        (found(9, 9, "email source_url", email_empty=9), WITH_PAGES + PAGES.format("orders")),
        (found(9, 9, "source_url"), f"{NO_IDENTITY} {UNMAPPED}"),
        (found(10, 9, email_empty=9), GUESTS),
        (found(100, 97, email_empty=97), GUESTS),
        (found(10, 5, "email md5", email_empty=10, md5_empty=5), GUESTS),
    ],
)
def test_advice_on_no_identity(one: Identification, said: str) -> None:
    """Guests are blamed only where an e-mail column is mapped, and gives something.

    Nobody is told to map a page that is mapped.
    """
    assert what_to_do("no_identity", [one], replay=False) == said


def test_advice_for_several_streams() -> None:
    """Each stream with a mistake is named; others without an identity are those of guests."""
    guests = found(100, 20, email_empty=20)._replace(stream="shop")
    unmapped = found(20, 20, "decision_id")
    complete = found(20, 0, "")._replace(stream="leads")
    assert (
        what_to_do("no_identity", [guests, unmapped, complete], replay=False)
        == f"{GUESTS} {UNMAPPED}"
    )
    assert (
        what_to_do("no_identity", [unmapped, complete], replay=False) == f"{NO_IDENTITY} {UNMAPPED}"
    )
    assert what_to_do("no_identity", [guests, complete], replay=False) == GUESTS
    with_pages = guests._replace(mapped=guests.mapped | {"source_url"})
    pages = PAGES.format("shop")
    assert what_to_do("no_identity", [guests, with_pages], replay=False) == GUESTS + pages
    assert what_to_do("no_identity", [with_pages, complete], replay=False) == WITH_PAGES + pages


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_advice_on_any_reason(reason: str) -> None:
    """It depends on nothing but the reason; in a replay no map is blamed, as none applies."""
    given = [found(20, 20, "")]
    if reason != "no_identity":
        assert what_to_do(reason, given, replay=False) == REASONS[reason].meaning
    assert what_to_do(reason, given, replay=True) == REASONS[reason].advice(replay=True)
