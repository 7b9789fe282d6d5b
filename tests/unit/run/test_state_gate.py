"""Which STATE may be written: only what is true, the newest that is, and each once."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from target_liveintent.run.state_gate import Closed, StateGate


def test_nothing_held_nothing_due() -> None:
    """Without a STATE from the tap none is written."""
    gate = StateGate()
    assert gate.due() is None
    gate.finish_batch(gate.open_batch())
    assert gate.due() is None


def test_a_state_with_nothing_before_it() -> None:
    """With no batch open a STATE may be written at once, and only once."""
    gate = StateGate()
    gate.hold("a")
    assert gate.due() == "a"
    assert gate.due() is None


def test_a_state_waits_for_the_batches_before_it() -> None:
    """An open batch holds back every STATE that came after it was opened."""
    gate = StateGate()
    batch = gate.open_batch()
    gate.hold("a")
    assert gate.due() is None
    gate.finish_batch(batch)
    assert gate.due() == "a"


def test_a_state_does_not_wait_for_batches_after_it() -> None:
    """What was read after a STATE does not hold it back."""
    gate = StateGate()
    first = gate.open_batch()
    gate.hold("a")
    second = gate.open_batch()
    gate.hold("b")
    gate.finish_batch(first)
    assert gate.due() == "a"
    assert gate.due() is None
    gate.finish_batch(second)
    assert gate.due() == "b"


def test_batches_that_finish_out_of_order() -> None:
    """A later batch that finishes first lets nothing out that an earlier one holds."""
    gate = StateGate()
    first, second = gate.open_batch(), gate.open_batch()
    gate.hold("a")
    gate.finish_batch(second)
    assert gate.due() is None
    gate.finish_batch(first)
    assert gate.due() == "a"


def test_only_the_newest_is_written() -> None:
    """Older ones that may be written as well say nothing new."""
    gate = StateGate()
    batch = gate.open_batch()
    for state in ("a", "b", "c"):
        gate.hold(state)
    gate.finish_batch(batch)
    assert gate.due() == "c"
    assert gate.due() is None


def test_a_state_that_a_newer_one_replaces_is_not_kept() -> None:
    """However many STATEs come while a batch is on its way, only the newest takes memory."""

    class State(str):
        """A text that can be watched."""

        __slots__ = ("__weakref__",)

    gate = StateGate()
    gate.open_batch()
    older, newer = State("a"), State("b")
    kept = weakref.ref(older)
    gate.hold(older)
    gate.hold(newer)
    del older
    gc.collect()
    assert kept() is None


def test_the_same_state_again_says_nothing() -> None:
    """Salesforce's tap repeats itself after every record."""
    gate = StateGate()
    gate.hold("a")
    assert gate.due() == "a"
    gate.hold("a")
    assert gate.due() is None
    gate.hold("b")
    gate.hold("a")
    assert gate.due() is None


def test_an_older_state_is_never_written_after_a_newer_one() -> None:
    """STATE only goes forward."""
    gate = StateGate()
    first = gate.open_batch()
    gate.hold("a")
    second = gate.open_batch()
    gate.hold("b")
    gate.finish_batch(second)
    gate.finish_batch(first)
    assert gate.due() == "b"
    assert gate.due() is None


@pytest.mark.parametrize("reason", Closed)
def test_a_closed_gate(reason: Closed) -> None:
    """While there is a reason, nothing is due; when it is taken back, the newest STATE is."""
    gate = StateGate()
    gate.hold("a")
    gate.close(reason)
    assert gate.due() is None
    gate.finish_batch(gate.open_batch())
    gate.hold("b")
    assert gate.due() is None
    gate.reopen(reason)
    assert gate.due() == "b"


def test_each_reason_is_taken_back_for_itself() -> None:
    """The gate is open only when there is no reason at all."""
    gate = StateGate()
    gate.hold("a")
    gate.close(Closed.TRIAL_RUN)
    gate.close(Closed.NO_STREAM_GIVES_EVENTS)
    gate.reopen(Closed.NO_STREAM_GIVES_EVENTS)
    gate.reopen(Closed.NO_STREAM_GIVES_EVENTS)
    assert gate.due() is None
    gate.reopen(Closed.TRIAL_RUN)
    assert gate.due() == "a"


def test_a_write_that_fails_closes_the_gate() -> None:
    """A write that succeeds changes nothing; one that fails closes the gate for good."""
    gate = StateGate()
    gate.hold("a")
    with gate.closed_by_failure():
        pass
    assert gate.due() == "a"
    gate.hold("b")
    with pytest.raises(KeyboardInterrupt), gate.closed_by_failure():
        raise KeyboardInterrupt
    with gate.closed_by_failure():
        pass
    assert gate.due() is None


steps = st.lists(
    st.tuples(st.sampled_from(["open", "finish", "state", "due"]), st.integers(0, 50)), max_size=40
)


@settings(max_examples=300)
@given(steps)
def test_against_a_model(sequence: list[tuple[str, int]]) -> None:
    """In any order of events: never too early, never backwards, and at the end the last one."""
    gate = StateGate()
    unfinished: list[int] = []
    held: list[tuple[str, frozenset[int]]] = []  # each STATE with the batches it waits for
    written = -1

    def look() -> None:
        nonlocal written
        state = gate.due()
        true = [n for n, (_, waits) in enumerate(held) if waits.isdisjoint(unfinished)]
        if state is not None:
            assert int(state) in true
            assert int(state) > written
            written = int(state)
        assert not [n for n in true if n > written]

    for kind, choice in sequence:
        if kind == "open":
            unfinished.append(gate.open_batch())
        elif kind == "finish" and unfinished:
            gate.finish_batch(unfinished.pop(choice % len(unfinished)))
        elif kind == "state":
            gate.hold(str(len(held)))
            held.append((str(len(held)), frozenset(unfinished)))
        elif kind == "due":
            look()
    while unfinished:
        gate.finish_batch(unfinished.pop())
    look()
    assert written == len(held) - 1


# Rejected records while nothing is delivered


def test_no_state_passes_a_rejected_record() -> None:
    """A STATE before it may be written, one after it waits, whatever is finished meanwhile."""
    gate = StateGate()
    batch = gate.open_batch()
    gate.hold("a")
    gate.withhold()
    gate.hold("b")
    gate.withhold()
    gate.hold("c")
    gate.finish_batch(batch)
    assert (gate.due(), gate.withholds) == ("a", True)
    assert gate.due() is None
    gate.release()
    assert (gate.due(), gate.withholds) == ("c", False)


def test_no_state_passes_a_rejected_batch() -> None:
    """A batch that ends in dead letters holds STATE back like a rejected record."""
    gate = StateGate()
    first, second = gate.open_batch(), gate.open_batch()
    gate.hold("a")
    gate.finish_batch(first, rejected=True)
    gate.finish_batch(second)
    assert gate.due() is None
    gate.release()
    assert gate.due() == "a"


def test_a_release_is_for_good() -> None:
    """Once something is delivered, rejected records hold nothing back."""
    gate = StateGate()
    gate.release()
    gate.withhold()
    gate.finish_batch(gate.open_batch(), rejected=True)
    gate.hold("a")
    assert (gate.due(), gate.withholds) == ("a", False)


def test_a_release_finishes_no_batch_that_is_on_its_way() -> None:
    """What was not rejected still has to be finished."""
    gate = StateGate()
    gate.withhold()
    batch = gate.open_batch()
    gate.hold("a")
    gate.release()
    assert gate.due() is None
    gate.finish_batch(batch)
    assert gate.due() == "a"
