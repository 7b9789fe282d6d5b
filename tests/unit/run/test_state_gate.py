"""Which STATE may be written: only what is true, the newest that is, and each once."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from target_liveintent.run.states import StateGate


def test_a_state_that_a_newer_one_replaces_is_not_kept() -> None:
    """However many STATEs come while a batch is on its way, only the newest takes memory."""
    gate = StateGate()
    gate.open_batch()
    for state in "abc":
        gate.hold(state)
    assert len(gate._held) == 1  # noqa: SLF001 (nothing else shows it)


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


class AnyOrder(RuleBasedStateMachine):
    """A gate beside the plainest way to say what it must do.

    Attributes:
        held: For each STATE, the batches that it waits for.
        unfinished: The batches that are on their way.
        written: The place of the newest STATE that was due.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate = StateGate()
        self.held: list[set[int]] = []
        self.unfinished: list[int] = []
        self.written = -1

    @rule(choice=st.none() | st.integers(0, 50))
    def open(self, choice: int | None) -> None:
        """Open a batch, which may be a part of another one: the same STATEs wait for it."""
        has_other = self.unfinished and choice is not None
        other = self.unfinished[choice % len(self.unfinished)] if has_other else None
        self.unfinished.append(self.gate.open_batch(beside=other))
        for waits in self.held:
            if other in waits:
                waits.add(self.unfinished[-1])

    @precondition(lambda self: self.unfinished)
    @rule(choice=st.integers(0, 50))
    def finish(self, choice: int) -> None:
        self.gate.finish_batch(self.unfinished.pop(choice % len(self.unfinished)))
        self.due()

    @rule()
    def hold(self) -> None:
        self.gate.hold(str(len(self.held)))
        self.held.append({*self.unfinished})

    @rule()
    def due(self) -> None:
        """The newest STATE that is true is due, if it was not written."""
        some_waits = self.written < len(self.held) - 1
        assert self.gate.holds == some_waits
        true = [n for n, waits in enumerate(self.held) if waits.isdisjoint(self.unfinished)]
        newest = max(true, default=-1)
        assert self.gate.due() == (str(newest) if newest > self.written else None)
        self.written = max(self.written, newest)

    def teardown(self) -> None:
        """At the end, the last STATE is written."""
        while self.unfinished:
            self.finish(0)
        self.due()
        assert self.written == len(self.held) - 1


TestInAnyOrder = AnyOrder.TestCase
TestInAnyOrder.settings = settings(max_examples=100, stateful_step_count=30)
