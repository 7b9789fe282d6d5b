"""Which requests are too large for the API."""

from __future__ import annotations

from fakes import event

from target_liveintent.delivery.sizes import RequestSizes

EIGHT = [event(str(n)) for n in range(8)]


def test_a_size_that_was_refused() -> None:
    """What is as large is too large, and what is smaller is not."""
    sizes = RequestSizes()
    assert not sizes.is_too_large(EIGHT)
    assert sizes.refuse(EIGHT[:4])
    assert sizes.is_too_large(EIGHT)
    assert sizes.is_too_large(EIGHT[4:])
    assert not sizes.is_too_large(EIGHT[:3])


def test_the_smallest_one_counts() -> None:
    """A larger one that is refused later changes nothing."""
    sizes = RequestSizes()
    assert sizes.refuse(EIGHT[:4])
    assert sizes.refuse(EIGHT)
    assert sizes.is_too_large(EIGHT[:4])


def test_more_was_accepted() -> None:
    """Then not the size was at fault but an event."""
    sizes = RequestSizes()
    sizes.accept(EIGHT)
    sizes.accept(EIGHT[:1])
    assert not sizes.refuse(EIGHT[:8])
    assert not sizes.is_too_large(EIGHT)


def test_a_single_event() -> None:
    """It can be sent in no other way; what was refused before may have held it."""
    sizes = RequestSizes()
    assert sizes.refuse(EIGHT)
    assert not sizes.refuse(EIGHT[:1])
    assert not sizes.is_too_large(EIGHT)
