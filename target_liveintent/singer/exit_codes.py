"""Logs why a run failed, without data of records, and chooses the exit code."""

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
"""Exceptions of the SDK for wrong input. Their texts contain no values of a record."""


@contextlib.contextmanager
def readable_failures(
    logger: logging.Logger, ending: str = "", other_code: int = 1
) -> Iterator[None]:
    """Log an exception and exit the process: with code 2 if a setting is wrong.

    Args:
        logger: Logs one line, which describes the failure in words.
        ending: The end of this line.
        other_code: The exit code of all other failures.
    """
    try:
        yield
    except Exception as failure:  # noqa: BLE001 (its text could hold data of a record)
        described = failure_of(failure)
        if described.code is FailureCode.UNEXPECTED:
            frames = _frames(failure.__traceback__)
            logger.error("this is a bug. Please report it with these lines:\n%s", frames)  # noqa: TRY400
        text = described.words
        if "\n" in text:  # The text ends with lines of YAML. So `ending` becomes a comment.
            ending = ending and f" #{ending}"
        logger.error("%s%s", text, ending)  # noqa: TRY400
        sys.exit(2 if isinstance(failure, ConfigurationError) else other_code)


def failure_of(exception: BaseException) -> Failure:
    """Convert an exception to a `Failure`.

    The text of an unexpected exception is left out, because it may contain data of a record.
    """
    if isinstance(exception, RunError):
        return exception.failure
    if isinstance(exception, _INPUT_FAILURES):
        return Failure.of(FailureCode.INPUT, text=str(exception))
    return Failure.of(FailureCode.UNEXPECTED, exception=type(exception).__name__)


def log_unhandled(logger: logging.Logger) -> None:
    """Log warnings, and log unhandled exceptions without their texts.

    Otherwise, Python would print both to standard error, texts included. An exception may be
    unhandled in the main thread, in another thread, or while an object is deleted.
    """

    def log(kind: type[BaseException], frames: TracebackType | None) -> None:
        logger.error("the exception %s was not handled:\n%s", kind.__name__, _frames(frames))

    logging.captureWarnings(capture=True)
    sys.excepthook = lambda kind, _, frames: log(kind, frames)
    threading.excepthook = lambda unhandled: log(unhandled.exc_type, unhandled.exc_traceback)
    sys.unraisablehook = lambda ignored: log(ignored.exc_type, ignored.exc_traceback)


def _frames(of: TracebackType | None) -> str:
    return "".join(traceback.format_tb(of))
