"""Tells an API that refuses everything from one that refuses only bad events.

With a wrong pixel ID the API refuses every batch, and an isolation would find every event bad. So
after some refusals in a row, isolation pauses, and single events of other batches are asked about,
from as far away as possible. If one is accepted, the settings are right, and isolation continues.
If many are refused, the settings are wrong, and the run ends.

Requests overtake each other. So they are numbered: an acceptance speaks only for refusals that came
before its request was made.
"""

from __future__ import annotations

_SUSPICIOUS = 8
"""Refusals in a row after which only samples are sent. Before the first acceptance, one is enough:
the settings may be wrong from the start."""
MOST_SAMPLES = 4
"""Samples in flight at the same time: enough to be fast, few enough to stop in time."""
_REFUSALS_THAT_PROVE = 92
"""Refusals in a row that prove wrong settings: with what is in flight then, under 100 requests in a
run of which nothing is accepted, and under 200 otherwise."""
_SAMPLES_THAT_PROVE = 30
"""How many of them must be samples: refusals of one batch may have one cause."""
MOST_UNPROVEN = 100
"""Refused events at the end of the input that become dead letters after an acceptance in the run,
although nothing is left to compare them with."""
MOST_UNPROVEN_OF_NONE = 9
"""The same for a run in which nothing was accepted."""
_MOST_WITHOUT_WORD = 1_000
"""Refused requests after which one of several runs ends, if none of them was accepted by then: so
many that bad events which happen to come first end no run, and a wrong pixel ID still does."""


class Suspicion:
    """Counts refusals in a row.

    Args:
        accepted: Whether the settings are known to be right, because the API accepted events that
            another run with the same settings sent.
    """

    def __init__(self, *, accepted: bool = False) -> None:
        self.accepted = accepted
        self._newest_accepted = 0
        self._unproven = 0
        # For each refusal in a row, the number of the newest request when it came.
        self._refused: list[int] = []
        self._samples: list[int] = []

    @property
    def suspects(self) -> bool:
        """Whether the settings may be wrong, so that only samples may be sent."""
        return len(self._refused) >= (_SUSPICIOUS if self.accepted else 1)

    @property
    def in_a_row(self) -> int:
        """The number of refusals in a row."""
        return len(self._refused)

    @property
    def proves_wrong(self) -> bool:
        """Whether so many samples were refused that the settings must be wrong."""
        enough = len(self._samples) >= _SAMPLES_THAT_PROVE
        return enough and len(self._refused) >= _REFUSALS_THAT_PROVE

    def accept(self, request: int) -> None:
        """Note that the API accepted events of the request with this number."""
        self.accepted = True
        self._newest_accepted = max(self._newest_accepted, request)
        self._unproven = 0
        for refusals in (self._refused, self._samples):
            refusals[:] = [newest for newest in refusals if newest >= request]

    def refuse(self, newest: int, *, is_sample: bool) -> None:
        """Note a refusal.

        Args:
            newest: The number of the newest request that was made until now.
            is_sample: Whether a single event was asked about as a sample.
        """
        self._refused.append(newest)
        if is_sample:
            self._samples.append(newest)

    def has_passed(self, newest: int) -> bool:
        """Return whether a request was accepted that was made after a refusal came.

        Args:
            newest: As in `refuse`.
        """
        return self._newest_accepted > newest

    def allows_unproven(self, events: int) -> bool:
        """Return whether so many more refused events may be bad although nothing proves it."""
        most = MOST_UNPROVEN if self.accepted else MOST_UNPROVEN_OF_NONE
        return self._unproven + events <= most

    def leave_unproven(self, events: int) -> None:
        """Note that so many refused events were found bad although nothing proves it.

        That may happen several times in a run: with a ledger, batches wait for each other.
        """
        self._unproven += events


class SharedSuspicion(Suspicion):
    """Counts refusals in one of several runs with the same settings, whose caller judges over all.

    Once the settings are known to be right, no refusal ends the run. The caller sets `accepted`
    when it learns that; that is safe while other threads use the machine. Until then, refused
    events still become dead letters, which the caller keeps or throws away.
    """

    @property
    def proves_wrong(self) -> bool:
        """Whether so many requests were refused that the run must end."""
        return not self.accepted and self.in_a_row >= _MOST_WITHOUT_WORD

    def allows_unproven(self, events: int) -> bool:  # noqa: ARG002 (however many they are)
        """Return whether refused events may be bad although nothing proves it."""
        return not self.proves_wrong
