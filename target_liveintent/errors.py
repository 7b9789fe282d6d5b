"""The exceptions that end a run, by what the user can do about them.

A message is one line; only a `StreamMappingError` may add a block to paste. No message holds
personal data or the token.
"""

from __future__ import annotations

from typing import ClassVar

from target_liveintent.failures import Failure, FailureCode


class RunError(Exception):
    """Ends the run; its message is the last line that the user reads.

    Attributes:
        failure: Why the run failed, as a value. An exception that is made from a text has the code
            of its class.
    """

    code: ClassVar[FailureCode] = FailureCode.OTHER

    def __init__(self, failure: Failure | str) -> None:
        if isinstance(failure, str):
            failure = Failure.of(self.code, text=failure)
        super().__init__(failure)
        self.failure = failure

    def __str__(self) -> str:
        """Return the failure in words."""
        return self.failure.words


class ConfigurationError(RunError):
    """A setting is missing or wrong."""

    code = FailureCode.CONFIGURATION


class InputError(RunError):
    """The input is not a valid Singer stream."""

    code = FailureCode.INPUT


class StorageError(RunError):
    """A file that the run needs cannot be written."""

    code = FailureCode.STORAGE


class StreamMappingError(RunError):
    """The map of a stream cannot produce any event, or reads an unknown column."""

    code = FailureCode.STREAM_MAPPING


class DeliveryError(RunError):
    """Events could not be delivered."""

    code = FailureCode.DELIVERY


class AccessDeniedError(DeliveryError):
    """The API answered 401 or 403."""


class SetUpError(DeliveryError):
    """The API cannot be reached until a certificate or a proxy is fixed; retrying does not help."""


class OutageError(DeliveryError):
    """The API accepted nothing for `max_retry_seconds`, or asks to wait longer than that."""


class AllRefusedError(DeliveryError):
    """The API refuses every event that is sent."""


class TooManyRejectedError(RunError):
    """A record cannot be sent and `on_rejection` is `fail`, or there are too many dead letters."""
