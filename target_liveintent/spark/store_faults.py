"""What the failures of object stores mean: whether a retry can help, and in which words."""

from __future__ import annotations

import errno

_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
}
"""The package that a URL needs, by its scheme."""
_LASTING = (
    FileExistsError,
    FileNotFoundError,
    ImportError,
    IsADirectoryError,
    NotADirectoryError,
    NotImplementedError,
    PermissionError,
    TypeError,
    ValueError,
)
_LASTING_NUMBERS = {
    errno.EINVAL,
    errno.ENAMETOOLONG,
    errno.ENOSYS,
    errno.EPERM,
    getattr(errno, "EREMCHG", errno.EINVAL),  # A bucket of another region.
}
_LASTING_NAMES = {
    "DefaultCredentialsError": "no credentials are found in the environment",
    "NoCredentialsError": "no credentials are found in the environment",
    "ParamValidationError": "the store does not accept this name",
    "PartialCredentialsError": "the credentials in the environment are not complete",
    "ProfileNotFound": "AWS_PROFILE names a profile that does not exist",
}
"""More failures that no retry can fix, by their class, as its library need not be installed."""
_PASSING_NAMES = {
    "ClientConnectorError": "the connection failed",
    "ConnectTimeoutError": "the connection timed out",
    "EndpointConnectionError": "the connection failed",
    "FSTimeoutError": "no answer came in time",
    "ReadTimeoutError": "no answer came in time",
}
_BY_NAME = _LASTING_NAMES | _PASSING_NAMES
_BY_KIND = {FileNotFoundError: "it does not exist", PermissionError: "access is denied"}


def is_lasting(error: Exception) -> bool:
    """Return whether no retry can fix a failure."""
    return (
        isinstance(error, _LASTING)
        or type(error).__name__ in _LASTING_NAMES
        or getattr(error, "errno", None) in _LASTING_NUMBERS
    )


def reason(error: Exception) -> str:
    """Return a failure in words that hold nothing of a URL, of credentials or of an object."""
    name = type(error).__name__
    of_its_kind = (words for kind, words in _BY_KIND.items() if isinstance(error, kind))
    words = _BY_NAME.get(name) or next(of_its_kind, None)
    code = _code(error)
    if words is None:
        return code or getattr(error, "strerror", None) or name
    return f"{words} ({code})" if code else words


def _code(error: BaseException) -> str | None:
    """Return the code that S3 gave for a failure, such as `NoSuchBucket`."""
    response = getattr(error.__cause__ or error, "response", None)
    if not isinstance(response, dict):
        return None
    code = str(response.get("Error", {}).get("Code", ""))
    return code if code.isascii() and code.isalpha() else None


def missing_package(scheme: str, error: ImportError) -> str:
    """Return what to install for the URLs of a scheme."""
    package = _PACKAGES.get(scheme)
    return str(error) if package is None else f"pip install {package}"
