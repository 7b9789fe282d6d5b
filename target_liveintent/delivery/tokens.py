"""The API token in a file or mounted secret, which somebody else may replace during a run."""

from __future__ import annotations

from pathlib import Path

from target_liveintent.errors import ConfigurationError

_LONGEST = 65_536
"""Bytes that are read: what is longer is no token."""


def is_usable(token: str) -> bool:
    """Whether a text can stand in an HTTP header as a token."""
    return bool(token) and token.isascii() and token.isprintable() and " " not in token


def read(path: str) -> str:
    """The token that a file holds, without the space around it.

    Raises:
        ConfigurationError: If there is none; its content is not shown.
    """
    try:
        with Path(path).open("rb") as file:
            token = file.read(_LONGEST).decode("utf-8-sig").strip()
    except OSError as error:
        msg = f"the file that setting 'auth_token_path' names cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from None
    except ValueError:  # No text, or no path of a file.
        token = ""
    if not is_usable(token):
        msg = "setting 'auth_token_path' must name a file with a token and nothing else in it"
        raise ConfigurationError(msg)
    return token
