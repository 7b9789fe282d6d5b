"""The exceptions that end a run, named by what to do about them.

RunError
├── ConfigurationError      change a setting (exit 2)
├── InputError              the tap's output cannot be read: mend the tap
├── StorageError            a file cannot be written: space, permissions
├── StreamMappingError      a stream can never give an event, or its map has a mistake: mend it
├── DeliveryError           the API does not take the events
│   ├── AccessDeniedError   the token or the customer ID is wrong, or the token was rotated
│   ├── OutageError         the API was not reachable for `max_retry_seconds`: run again later
│   └── AllRefusedError     the API refuses everything: pixel ID or customer ID may be wrong
└── TooManyRejectedError    records were rejected, and the settings say that this ends it

Their messages are for people: one line, but for the block to paste of a `StreamMappingError`. They
never hold personal data or the token.
"""

from __future__ import annotations


class RunError(Exception):
    """Ends the run; the message is the last line that the user reads."""


class ConfigurationError(RunError):
    """A setting is absent or wrong."""


class InputError(RunError):
    """What the tap sends is no Singer stream."""


class StorageError(RunError):
    """A file that the run needs cannot be written."""


class StreamMappingError(RunError):
    """A stream can never give an event as it is mapped, or a map reads what nobody knows."""


class DeliveryError(RunError):
    """Events could not be delivered."""


class AccessDeniedError(DeliveryError):
    """The API answered 401 or 403."""


class OutageError(DeliveryError):
    """Retrying did not help within `max_retry_seconds`."""


class AllRefusedError(DeliveryError):
    """The API refuses whatever is sent."""


class TooManyRejectedError(RunError):
    """Rejections end the run: `on_invalid` is `fail`, or there are too many."""
