"""The checks of settings that hold the URL of an object store in place of a path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from target_liveintent.errors import ConfigurationError
from target_liveintent.settings import is_url

_TAKE_URLS = (
    *("dead_letter_path", "delivered_path", "history_path", "report_path", "suppression_path"),
)
_TAKE_PATHS = ("ledger_path", "metrics_path")


def store_problems(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each setting whose URL cannot be used, without showing it."""
    for name in _TAKE_URLS:
        if is_url(url := given.get(name, "").strip()):
            yield from url_problems("setting", name, url)
            if url.lower().startswith(("file:", "local:")):
                yield (
                    f"setting '{name}' names a file on this machine: give the path of the file,"
                    " without file://"
                )
    for name in _TAKE_PATHS:
        if is_url(given.get(name, "").strip()):
            yield (
                f"setting '{name}' must name a file on this machine, and cannot be a URL. Only"
                f" these settings can be URLs: {', '.join(_TAKE_URLS)}"
            )


def url_problems(kind: str, name: str, url: str) -> Iterator[str]:
    """Yield a line for what is wrong with the URL of a store.

    Args:
        kind: Whether a setting or an option holds the URL, for the message.
        name: Its name.
        url: The URL.
    """
    parts = _parts(url)
    if parts is None:
        yield f"{kind} '{name}' must be a URL such as s3://bucket/folder"
    elif "@" in parts.netloc or parts.query or parts.fragment:
        yield (
            f"{kind} '{name}' must be a URL without a user, a password or parameters, such as"
            " s3://bucket/folder: put the credentials into environment variables"
        )


def check_option_url(option: str, path: str) -> None:
    """Raise a `ConfigurationError` if an option of the command line has a URL that is wrong."""
    if is_url(path) and (found := list(url_problems("option", option, path))):
        raise ConfigurationError(found[0])


def _parts(url: str) -> SplitResult | None:
    """Return the parts of a URL; None if it is not one."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (raises if it is not a number)
    except ValueError:
        return None
    return None if "::" in url or " " in url or not url.isprintable() else parts
