"""A request that the machine asks for."""

from __future__ import annotations

from typing import NamedTuple

from target_liveintent.conversions import Conversion
from target_liveintent.delivery.job import Job


class Request(NamedTuple):
    """A request to make.

    Attributes:
        number: Its place in the order of the run's requests, counted from 1.
        job: The delivery of its batch.
        conversions: What is sent, 1 to 100 events.
        seconds: After how many seconds an answer is of no use.
        is_sample: Whether it only serves to find out if the settings are wrong.
        started_at: When it starts.
        sent_at: The same as a Unix time.
    """

    number: int
    job: Job
    conversions: list[Conversion]
    seconds: float
    is_sample: bool
    started_at: float
    sent_at: float

    @property
    def body(self) -> bytes:
        """The JSON array of the events."""
        return b"[%b]" % b",".join([conversion.body for conversion in self.conversions])
