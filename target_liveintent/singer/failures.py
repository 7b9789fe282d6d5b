"""The last line of a run that fails or is stopped, and the exit code."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import traceback
from collections.abc import Iterator

from singer_sdk.exceptions import (
    InvalidJSONSchema,
    MissingKeyPropertiesError,
    RecordsWithoutSchemaException,
)

from target_liveintent.errors import ConfigurationError, RunError
from target_liveintent.singer.standard_io import StateOutput
from target_liveintent.store import RunStore

_EXPECTED_FAILURES = (
    RunError,
    MissingKeyPropertiesError,
    RecordsWithoutSchemaException,
    InvalidJSONSchema,
)
"""Exceptions whose text is all that the user needs."""


@contextlib.contextmanager
def readable_failures(logger: logging.Logger, ending: str = "") -> Iterator[None]:
    """End the process on a failure: with exit code 2 if a setting is wrong, else with 1.

    Args:
        logger: Takes the line that describes the failure.
        ending: What this line ends in.
    """
    try:
        yield
    except Exception as failure:  # noqa: BLE001 (its text could hold what is in a record)
        if not isinstance(failure, _EXPECTED_FAILURES):
            frames = "".join(traceback.format_tb(failure.__traceback__))
            logger.error("this is a bug. Please report it with these lines:\n%s", frames)  # noqa: TRY400
        text = failure_text(failure)
        if "\n" in text:  # It ends in a block to paste.
            ending = ending and f" #{ending}"
        logger.error("%s%s", text, ending)  # noqa: TRY400
        sys.exit(2 if isinstance(failure, ConfigurationError) else 1)


def failure_text(failure: BaseException) -> str:
    """Return the line that describes a failure. It holds nothing of a record."""
    if isinstance(failure, _EXPECTED_FAILURES):
        return str(failure)
    return f"the run ended with an unexpected {type(failure).__name__}"


def stopped_by(signum: int) -> str:
    """Return which signal stopped a run."""
    return f"stopped by {signal.Signals(signum).name}"


def afterwards(*, is_replay: bool) -> str:
    """Return what to do, or what happens next, after a stopped run."""
    if is_replay:  # It has no STATE.
        return "run the replay again to send the rest"
    return "the next run continues from the last STATE"


def what_waits(output: StateOutput, store: RunStore | None) -> str:
    """Return what keeps a stopped run from ending, as a clause."""
    if output.waiting:
        return "no program has read STATE from standard output"
    if store is not None and store.database.waiting.reason:
        return store.database.waiting.reason
    return "the cause is unknown"
