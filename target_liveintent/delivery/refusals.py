"""Counts refusals in a row, to tell wrong settings from bad events.

With a wrong pixel ID the API refuses every batch, and halving would find every event bad. So after
some refusals in a row, halving pauses, and single events are sent as samples, first from batches
that the API has not refused yet. If the API accepts a sample, the settings are right, and halving
continues. If it refuses many samples, the settings are wrong, and the run ends.

Refusals are *in a row* if the API has accepted no request that was made after the first of them
came. Answers may come in another order than their requests, so requests are numbered.
"""

from __future__ import annotations

# After this many refusals in a row, only samples are sent. One bad event in a batch causes at most
# seven refusals in a row.
_SUSPICIOUS_REFUSALS = 8
MOST_SAMPLES_IN_FLIGHT = 4  # Enough to be fast, few enough to stop in time.
_REFUSALS_TO_END_RUN = 92
"""After this many refusals in a row, the settings count as wrong, and the run ends. Some requests
are still in flight then, so the run has made fewer than 100 requests if the API accepted none of
them. Otherwise, it makes fewer than 200 requests after the last accepted one. Requests with events
that have dead letters do not count: see `LetterRefusals`."""
# At least this many of these refusals must be of samples: all refusals of one batch may have the
# same cause.
_SAMPLES_TO_END_RUN = 30
# At the end of the input, at most this many refused events become dead letters without a proof that
# they are bad; if there are more, the run fails. The first number is for a run in which the API has
# accepted a request, the second for any other run.
MOST_UNPROVEN, MOST_UNPROVEN_OF_NONE = 100, 9
_MOST_REFUSALS_OF_ONE_RUN = 1_000
"""If a run is one of several (the tasks of a Spark write), and the API has accepted no request of
any of them, this run ends after this many refused requests. Fewer refusals may come from bad events
that happen to be the first ones; this many come from a wrong setting, such as the pixel ID."""

_LETTER_REFUSALS_TO_GIVE_UP = 200
"""If the API refuses at least this many requests in a row with events that have dead letters, only
samples of such events are sent. To find all good events of one batch takes fewer requests."""
_LETTER_REFUSALS_RATIO = 2
"""If the API accepts a request with events that have dead letters, more refusals in a row may
follow: this ratio times the number of such requests until then, but at least
`_LETTER_REFUSALS_TO_GIVE_UP`."""
SAMPLES_OF_LETTERS = 3
"""After too many refusals in a row, this many events of each batch are sent as samples. If the API
accepts none of them, the other events of the batch that have such dead letters are not sent."""


class LetterRefusals:
    """Decides how long a run continues to send events that have dead letters.

    After too many refusals, the run stops sending such events, and their dead letters stay in the
    store. These refusals do not end the run.
    """

    def __init__(self) -> None:
        self._requests = self._in_a_row = 0
        self._most_in_a_row = _LETTER_REFUSALS_TO_GIVE_UP

    def accept(self) -> None:
        """Note that the API accepted events of a request."""
        self._requests += 1
        self._in_a_row = 0
        useful = _LETTER_REFUSALS_RATIO * self._requests
        self._most_in_a_row = max(_LETTER_REFUSALS_TO_GIVE_UP, useful)

    def refuse(self) -> None:
        """Note the refusal of a request."""
        self._requests += 1
        self._in_a_row += 1

    @property
    def suspects(self) -> bool:
        """Whether to send samples, to find the batches that have good events."""
        return self._in_a_row >= _SUSPICIOUS_REFUSALS

    @property
    def gives_up(self) -> bool:
        """Whether to send only a few samples of each batch from now on."""
        return self._in_a_row >= self._most_in_a_row


class Refusals:
    """Counts refusals in a row.

    Args:
        accepted: Whether the settings are known to be right.
        shared: Whether this is one of several runs with the same settings. The caller then sets
            `accepted` as soon as it knows that the API has accepted a request of any of these runs.
            Afterwards, no refusal ends this run. Until then, the refused events may be good, so the
            caller must be able to discard their dead letters.
    """

    def __init__(self, *, accepted: bool = False, shared: bool = False) -> None:
        self.accepted = accepted
        self._shared = shared
        self._newest_accepted = 0
        # Events that became dead letters without a proof since the API last accepted a request.
        self.unproven = 0
        # For each refusal in a row: which request the run made last before the refusal came, and
        # whether a sample was refused.
        self._in_a_row: list[tuple[int, bool]] = []

    @property
    def suspects(self) -> bool:
        """Whether the settings may be wrong, so that only samples may be sent."""
        return len(self._in_a_row) >= _SUSPICIOUS_REFUSALS

    @property
    def in_a_row(self) -> int:
        """How many refusals there are in a row."""
        return len(self._in_a_row)

    @property
    def settings_are_wrong(self) -> bool:
        """Whether the API refused so many requests that the settings must be wrong."""
        if self._shared:
            return not self.accepted and self.in_a_row >= _MOST_REFUSALS_OF_ONE_RUN
        samples = sum(is_sample for _, is_sample in self._in_a_row)
        return samples >= _SAMPLES_TO_END_RUN and self.in_a_row >= _REFUSALS_TO_END_RUN

    def accept(self, request: int) -> None:
        """Note that the API accepted events of the request with this number."""
        self.accepted = True
        self._newest_accepted = max(self._newest_accepted, request)
        self.unproven = 0
        self._in_a_row = [refusal for refusal in self._in_a_row if refusal[0] >= request]

    def refuse(self, newest: int, *, is_sample: bool) -> None:
        """Note that the API refused a request; `newest` is the number of the last request made."""
        self._in_a_row.append((newest, is_sample))

    def accepted_after(self, request: float) -> bool:
        """Return whether the API accepted a request made after the request with this number."""
        return self._newest_accepted > request

    def allows_unproven(self, events: int) -> bool:
        """Return whether this many further events may become dead letters without a proof."""
        if self._shared:
            return not self.settings_are_wrong
        most = MOST_UNPROVEN if self.accepted else MOST_UNPROVEN_OF_NONE
        return self.unproven + events <= most
