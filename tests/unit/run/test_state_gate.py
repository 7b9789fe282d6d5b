"""Which STATE may be written: only what is true, the newest that is, and each once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from target_liveintent.run.state_gate import StateGate


def test_nothing_held_nothing_due() -> None:
    """Without a STATE from the tap none is written."""
    keeper = StateGate()
    assert keeper.due() is None
    keeper.finish(keeper.open())
    assert keeper.due() is None


def test_a_state_with_nothing_before_it() -> None:
    """With no batch open a STATE may be written at once, and only once."""
    keeper = StateGate()
    keeper.hold("a")
    assert keeper.due() == "a"
    assert keeper.due() is None


def test_a_state_waits_for_the_batches_before_it() -> None:
    """An open batch holds back every STATE that came after it was opened."""
    keeper = StateGate()
    batch = keeper.open()
    keeper.hold("a")
    assert keeper.due() is None
    keeper.finish(batch)
    assert keeper.due() == "a"


def test_a_state_does_not_wait_for_batches_after_it() -> None:
    """What was read after a STATE does not hold it back."""
    keeper = StateGate()
    first = keeper.open()
    keeper.hold("a")
    second = keeper.open()
    keeper.hold("b")
    keeper.finish(first)
    assert keeper.due() == "a"
    assert keeper.due() is None
    keeper.finish(second)
    assert keeper.due() == "b"


def test_batches_that_finish_out_of_order() -> None:
    """A later batch that finishes first lets nothing out that an earlier one holds."""
    keeper = StateGate()
    first, second = keeper.open(), keeper.open()
    keeper.hold("a")
    keeper.finish(second)
    assert keeper.due() is None
    keeper.finish(first)
    assert keeper.due() == "a"


def test_only_the_newest_is_written() -> None:
    """Older ones that may be written as well say nothing new."""
    keeper = StateGate()
    batch = keeper.open()
    for state in ("a", "b", "c"):
        keeper.hold(state)
    keeper.finish(batch)
    assert keeper.due() == "c"
    assert keeper.due() is None


def test_the_same_state_again_says_nothing() -> None:
    """Salesforce's tap repeats itself after every record."""
    keeper = StateGate()
    keeper.hold("a")
    assert keeper.due() == "a"
    keeper.hold("a")
    assert keeper.due() is None
    keeper.hold("b")
    keeper.hold("a")
    assert keeper.due() is None


def test_an_older_state_is_never_written_after_a_newer_one() -> None:
    """STATE only goes forward."""
    keeper = StateGate()
    first = keeper.open()
    keeper.hold("a")
    second = keeper.open()
    keeper.hold("b")
    keeper.finish(second)
    keeper.finish(first)
    assert keeper.due() == "b"
    assert keeper.due() is None


steps = st.lists(
    st.tuples(st.sampled_from(["open", "finish", "state", "due"]), st.integers(0, 50)), max_size=40
)


@settings(derandomize=True, deadline=None, max_examples=300, database=None)
@given(steps)
def test_against_a_model(sequence: list[tuple[str, int]]) -> None:
    """In any order of events: never too early, never backwards, and at the end the last one."""
    keeper = StateGate()
    unfinished: list[int] = []
    held: list[tuple[str, frozenset[int]]] = []  # each STATE with the batches it waits for
    written = -1

    def look() -> None:
        nonlocal written
        state = keeper.due()
        true = [n for n, (_, waits) in enumerate(held) if waits.isdisjoint(unfinished)]
        if state is not None:
            assert int(state) in true
            assert int(state) > written
            written = int(state)
        assert not [n for n in true if n > written]

    for kind, choice in sequence:
        if kind == "open":
            unfinished.append(keeper.open())
        elif kind == "finish" and unfinished:
            keeper.finish(unfinished.pop(choice % len(unfinished)))
        elif kind == "state":
            keeper.hold(str(len(held)))
            held.append((str(len(held)), frozenset(unfinished)))
        elif kind == "due":
            look()
    while unfinished:
        keeper.finish(unfinished.pop())
    look()
    assert written == len(held) - 1
