"""The last line of a run that fails, and its exit code."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType

from singer_sdk import exceptions

from target_liveintent.errors import ConfigurationError, RunError
from target_liveintent.failures import Failure, FailureCode

_INPUT_FAILURES = (
    exceptions.MissingKeyPropertiesError,
    exceptions.RecordsWithoutSchemaException,
    exceptions.InvalidJSONSchema,
)
"""Exceptions of the SDK whose text is all that the user needs."""


@contextlib.contextmanager
def readable_failures(logger: logging.Logger, ending: str = "") -> Iterator[None]:
    """End the process on a failure: with exit code 2 if a setting is wrong, else with 1.

    The logger takes the line that describes the failure; `ending` is added to it.
    """
    try:
        yield
    except Exception as failure:  # noqa: BLE001 (its text could hold data of a record)
        described = failure_of(failure)
        if described.code is FailureCode.UNEXPECTED:
            frames = _frames(failure.__traceback__)
            logger.error("this is a bug. Please report it with these lines:\n%s", frames)  # noqa: TRY400
        text = described.words
        if "\n" in text:  # The message ends with a block of lines to paste.
            ending = ending and f" #{ending}"
        logger.error("%s%s", text, ending)  # noqa: TRY400
        sys.exit(2 if isinstance(failure, ConfigurationError) else 1)


def failure_of(exception: BaseException) -> Failure:
    """Return why a run failed, as a value without any data of a record."""
    if isinstance(exception, RunError):
        return exception.failure
    if isinstance(exception, _INPUT_FAILURES):
        return Failure.of(FailureCode.INPUT, text=str(exception))
    return Failure.of(FailureCode.UNEXPECTED, exception=type(exception).__name__)


def log_unhandled(logger: logging.Logger) -> None:
    """Log the failures that Python would otherwise print, with texts, to standard error.

    The failures are warnings, and unhandled exceptions of the process, of a thread, or during the
    deletion of an object.
    """

    def log(kind: type[BaseException], frames: TracebackType | None) -> None:
        logger.error("nothing handled an exception, %s:\n%s", kind.__name__, _frames(frames))

    logging.captureWarnings(capture=True)
    sys.excepthook = lambda kind, _, frames: log(kind, frames)
    threading.excepthook = lambda unhandled: log(unhandled.exc_type, unhandled.exc_traceback)
    sys.unraisablehook = lambda ignored: log(ignored.exc_type, ignored.exc_traceback)


def _frames(of: TracebackType | None) -> str:
    return "".join(traceback.format_tb(of))
