"""The exceptions that end a run, one class for each kind of cause.

A message is one line. Only a `StreamMappingError` may add lines for the user to paste into a file.
No message contains personal data or the token.
"""

from __future__ import annotations

from typing import ClassVar

from target_liveintent.failures import Failure, FailureCode


class RunError(Exception):
    """The run failed; the message says why.

    Attributes:
        failure: The reason as a value. If an exception is created with a text, the failure has the
            code of the class.
    """

    code: ClassVar[FailureCode] = FailureCode.OTHER

    def __init__(self, failure: Failure | str) -> None:
        if isinstance(failure, str):
            failure = Failure.of(self.code, text=failure)
        super().__init__(failure)
        self.failure = failure

    def __str__(self) -> str:
        """Return the message: the failure in words."""
        return self.failure.words


class ConfigurationError(RunError):
    """A setting is missing or wrong."""

    code = FailureCode.CONFIGURATION


class InputError(RunError):
    """A Singer stream, a BATCH file, a list of people or the file of `--expect` cannot be used."""

    code = FailureCode.INPUT


class StorageError(RunError):
    """The store cannot be used, or a file or a standard stream cannot be read or written."""

    code = FailureCode.STORAGE


class StreamMappingError(RunError):
    """A stream map cannot be used for the streams of the input, or no stream can give events."""

    code = FailureCode.STREAM_MAPPING


class DeliveryError(RunError):
    """Events could not be delivered."""

    code = FailureCode.DELIVERY


class AccessDeniedError(DeliveryError):
    """The API answered 401 or 403."""


class SetUpError(DeliveryError):
    """The API cannot be reached until a certificate or a proxy is fixed; retrying does not help."""


class OutageError(DeliveryError):
    """The API accepted nothing for `max_retry_seconds`, or asks for a longer wait than that."""


class AllRefusedError(DeliveryError):
    """The API refused so many events that the cause may be a setting."""


class TooManyRejectedError(RunError):
    """A record cannot be sent and `on_rejection` is `fail`, or there are too many dead letters."""
