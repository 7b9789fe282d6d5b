"""Counts refusals in a row, to tell wrong settings from bad events.

With a wrong pixel ID the API refuses every batch, and halving would find every event bad. So after
some refusals in a row, halving pauses, and single events of other batches are sent as samples, from
as far away as possible. If one is accepted, the settings are right, and halving continues. If many
are refused, the settings are wrong, and the run ends.

Answers may come in another order than their requests. So requests are numbered: an accepted request
says something only about refusals that came before this request was made.
"""

from __future__ import annotations

# The number of refusals in a row after which only samples are sent. One bad event in a batch causes
# at most seven in a row.
_SUSPICIOUS_REFUSALS = 8
MOST_SAMPLES_IN_FLIGHT = 4  # Enough to be fast, few enough to stop in time.
_REFUSALS_THAT_PROVE = 92
"""The number of refusals in a row that proves that settings are wrong. With the requests in flight,
a run makes fewer than 100 requests if nothing was accepted, and otherwise fewer than 200. This does
not include requests with events that have dead letters: see `LetterRefusals`."""
# The number of these refusals that must be of samples: refusals of one batch may have one cause.
_SAMPLES_THAT_PROVE = 30
# The greatest number of refused events that become dead letters at the end of the input without a
# proof that they are bad: the first if the API has accepted a request of the run, else the second.
MOST_UNPROVEN, MOST_UNPROVEN_OF_NONE = 100, 9
_MOST_REFUSALS_OF_ONE_RUN = 1_000
"""The number of refused requests after which one of several runs (the tasks of a Spark write) ends
if the API has accepted no request. So bad events that happen to come first do not end a run, but a
wrong pixel ID does."""

_FEWEST_REFUSED_LETTERS = 200
"""The number of refusals in a row after which only samples of events that have dead letters are
sent. This number is enough to find all good events of one batch."""
_LETTER_REFUSALS_RATIO = 2
"""If the API accepted events that have dead letters, more refusals in a row are allowed: this ratio
times the number of requests up to the last accepted request."""
SAMPLES_OF_LETTERS = 3
"""The number of events of each batch that are sent as samples after too many refusals in a row."""


class LetterRefusals:
    """Decides how long a run continues to send events that have dead letters.

    A run may stop sending such events, because their dead letters stay. So no number of refusals
    ends the run.
    """

    def __init__(self) -> None:
        self._requests = self._in_a_row = 0
        self._most_in_a_row = _FEWEST_REFUSED_LETTERS

    def accept(self) -> None:
        """Note that the API accepted events of a request."""
        self._requests += 1
        self._in_a_row = 0
        useful = _LETTER_REFUSALS_RATIO * self._requests
        self._most_in_a_row = max(_FEWEST_REFUSED_LETTERS, useful)

    def refuse(self) -> None:
        """Note the refusal of a request."""
        self._requests += 1
        self._in_a_row += 1

    @property
    def suspects(self) -> bool:
        """Whether samples are sent, to find the batches that have good events."""
        return self._in_a_row >= _SUSPICIOUS_REFUSALS

    @property
    def gives_up(self) -> bool:
        """Whether only some samples of each batch are sent from now on."""
        return self._in_a_row >= self._most_in_a_row


class Refusals:
    """Counts refusals in a row.

    Args:
        accepted: Whether the settings are known to be right.
        shared: Whether this is one of several runs with the same settings. The caller then sets
            `accepted`, at any time, when the API has accepted a request of any of these runs.
            Afterwards, no refusal ends the run. Until then, the caller must keep the dead letters
            of refused events separate.
    """

    def __init__(self, *, accepted: bool = False, shared: bool = False) -> None:
        self.accepted = accepted
        self._shared = shared
        self._newest_accepted = 0
        self.unproven = 0  # Dead letters without a proof since the last acceptance.
        # For each refusal in a row, the number of the newest request, and whether it is a sample's.
        self._in_a_row: list[tuple[int, bool]] = []

    @property
    def suspects(self) -> bool:
        """Whether the settings may be wrong, so that only samples may be sent."""
        return len(self._in_a_row) >= _SUSPICIOUS_REFUSALS

    @property
    def in_a_row(self) -> int:
        """The number of refusals in a row."""
        return len(self._in_a_row)

    @property
    def proves_wrong(self) -> bool:
        """Whether enough requests were refused to prove that the settings are wrong."""
        if self._shared:
            return not self.accepted and self.in_a_row >= _MOST_REFUSALS_OF_ONE_RUN
        samples = sum(is_sample for _, is_sample in self._in_a_row)
        return samples >= _SAMPLES_THAT_PROVE and self.in_a_row >= _REFUSALS_THAT_PROVE

    def accept(self, request: int) -> None:
        """Note that the API accepted events of the request with this number."""
        self.accepted = True
        self._newest_accepted = max(self._newest_accepted, request)
        self.unproven = 0
        self._in_a_row = [refusal for refusal in self._in_a_row if refusal[0] >= request]

    def refuse(self, newest: int, *, is_sample: bool) -> None:
        """Note the refusal of a request; `newest` is the number of the newest request until now."""
        self._in_a_row.append((newest, is_sample))

    def accepted_after(self, request: float) -> bool:
        """Return whether the API accepted a request that was made after this one."""
        return self._newest_accepted > request

    def allows_unproven(self, events: int) -> bool:
        """Return whether this many further events may become dead letters without a proof."""
        if self._shared:
            return not self.proves_wrong
        most = MOST_UNPROVEN if self.accepted else MOST_UNPROVEN_OF_NONE
        return self.unproven + events <= most
