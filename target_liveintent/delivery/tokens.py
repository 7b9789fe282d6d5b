"""The API token in a file or mounted secret, which may be replaced during a run."""

from __future__ import annotations

from pathlib import Path

from target_liveintent.errors import ConfigurationError

_MAX_BYTES = 65_536
"""Bytes of a file that are read; a longer file cannot be a token."""


def is_usable_token(token: str) -> bool:
    """Return whether a text can stand in an HTTP header as a token."""
    return bool(token) and token.isascii() and token.isprintable() and " " not in token


def read_token(path: str) -> str:
    """Return the token that a file holds, without the white space around it.

    Raises:
        ConfigurationError: If the file holds no usable token; the message does not show its
            content.
    """
    try:
        with Path(path).open("rb") as file:
            token = file.read(_MAX_BYTES).decode("utf-8-sig").strip()
    except OSError as error:
        msg = f"the file named in setting 'auth_token_path' cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from error
    except ValueError:  # The file is not text, or the path cannot be one.
        token = ""
    if not is_usable_token(token):
        msg = "setting 'auth_token_path' must name a file that contains a token and nothing else"
        raise ConfigurationError(msg)
    return token
