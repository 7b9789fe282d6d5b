"""Which requests are too large for the API."""

from __future__ import annotations

import math

from target_liveintent.conversions import Conversion


class RequestSizes:
    """The sizes of requests that the API took, and that it refused for their size (413)."""

    def __init__(self) -> None:
        self._fits = 0  # Bytes of the largest request that was accepted,
        self._too_large = math.inf  # and of the smallest one that was refused for its size.

    def accept(self, part: list[Conversion]) -> None:
        """Note that a request was accepted."""
        self._fits = max(self._fits, _size(part))

    def refuse(self, part: list[Conversion]) -> bool:
        """Note that a request got a 413; return whether its size was at fault.

        If not, one of its events was: the API accepted more bytes, or there was no other event.
        """
        if len(part) == 1:
            self._too_large = math.inf  # Larger requests may have been refused for this event.
            return False
        size = _size(part)
        if size <= self._fits:
            return False
        self._too_large = min(self._too_large, size)
        return True

    def is_too_large(self, part: list[Conversion]) -> bool:
        """Return whether a request would be as large as one that was refused for its size."""
        return len(part) > 1 and self._too_large < math.inf and _size(part) >= self._too_large


def _size(conversions: list[Conversion]) -> int:
    """Return the bytes of a request with these events, about."""
    return len(b",".join([conversion.body for conversion in conversions]))
