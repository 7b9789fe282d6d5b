"""File descriptors: how many connections they leave room for beside the files of a run."""

from __future__ import annotations

import logging
import os
import sys

from target_liveintent.delivery.api import MORE_DESCRIPTORS

if sys.platform != "win32":
    import resource

# Users filter log lines by this name, so it does not depend on where this module is.
_logger = logging.getLogger("target_liveintent.client")
_SPARE = 16
"""Descriptors that connections leave: for dead letters, ledger, report, metrics, the resolver."""


def most_connections(wanted: int) -> int:
    """Return how many connections may be open: at least one, and at most so many as are wanted."""
    if sys.platform == "win32":  # Windows has no limit as low as that.
        return wanted
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir("/dev/fd"))  # noqa: PTH208 (only their number counts)
    except OSError:  # The folder does not exist, or no descriptor is left to read it.
        return wanted
    left = max(1, most - used - _SPARE)
    if most == resource.RLIM_INFINITY or left >= wanted:
        return wanted
    _logger.warning(
        "max_concurrent_requests is %d, but the limit on open files allows only %d requests at"
        " the same time. %s",
        wanted,
        left,
        MORE_DESCRIPTORS,
    )
    return left
