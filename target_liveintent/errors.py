"""The exceptions that end a run, named by what the user can do about them.

Their messages are one line for people to read; only a `StreamMappingError` may add a block to
paste. They never hold personal data or the token.
"""

from __future__ import annotations


class RunError(Exception):
    """Ends the run; its message is the last line that the user reads."""


class ConfigurationError(RunError):
    """A setting is missing or wrong."""


class InputError(RunError):
    """The input is not a valid Singer stream."""


class StorageError(RunError):
    """A file that the run needs cannot be written."""


class StreamMappingError(RunError):
    """The map of a stream cannot produce any event, or reads an unknown column."""


class DeliveryError(RunError):
    """Events could not be delivered."""


class AccessDeniedError(DeliveryError):
    """The API answered 401 or 403."""


class SetUpError(DeliveryError):
    """The API cannot be reached until a certificate or a proxy is fixed; retrying does not help."""


class OutageError(DeliveryError):
    """The API did not accept the events within `max_retry_seconds`, despite retries."""


class AllRefusedError(DeliveryError):
    """The API refuses every event that is sent."""


class TooManyRejectedError(RunError):
    """A record cannot be sent and `on_rejection` is `fail`, or there are too many dead letters."""
