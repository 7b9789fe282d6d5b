"""Network faults in words, and which of them a certificate, a proxy or this machine causes."""

from __future__ import annotations

import errno
import re
import ssl
from collections.abc import Iterator
from http import HTTPStatus
from typing import NamedTuple

import urllib3

NETWORK_FAULTS = (urllib3.exceptions.HTTPError, OSError)
"""What `Route.post` and `read_body` raise for a network fault; `describe` puts it into words."""


class Obstacle(NamedTuple):
    """A certificate or a proxy that stands in the way to the API.

    Attributes:
        what: What happened, without anything that an answer or a URL holds.
        advice: What to check, and what to do.
    """

    what: str
    advice: str


def obstacle(fault: BaseException) -> Obstacle | None:
    """Return the certificate or proxy that causes a network fault; None if neither does."""
    causes = list(_causes(fault))
    by_proxy = any(isinstance(cause, urllib3.exceptions.ProxyError) for cause in causes)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _of_certificate(cause, by_proxy=by_proxy)
        if isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS:
            return _of_plain_http(by_proxy=by_proxy)
        if isinstance(cause, OSError) and (refusal := _CONNECT_REFUSED.match(str(cause))):
            return _of_proxy(int(refusal[1]))
    return None


def _of_certificate(fault: ssl.SSLCertVerificationError, *, by_proxy: bool) -> Obstacle:
    whose, setting = ("proxy", "HTTPS_PROXY") if by_proxy else ("API", "api_url")
    said = fault.verify_message.rstrip(".")  # OpenSSL's words, with nothing but a host in them.
    msg = f"this machine does not accept the certificate of the {whose}: {said}"
    if fault.verify_code in {_NOT_YET_VALID, _EXPIRED}:
        advice = (
            f"Check this machine's clock. If the clock is right, the owner of the {whose}"
            " must renew the certificate"
        )
    elif fault.verify_code in {_OTHER_HOST, _OTHER_ADDRESS}:
        advice = f"Check the host in {setting}"
    else:
        advice = (
            "If your company's network inspects TLS, or the server is your own, set"
            " REQUESTS_CA_BUNDLE (or SSL_CERT_FILE) to a file with the certificate of the"
            " authority that issued the server's certificate"
        )
    return Obstacle(msg, advice)


def _of_plain_http(*, by_proxy: bool) -> Obstacle:
    whose, setting = ("proxy", "HTTPS_PROXY") if by_proxy else ("API", "api_url")
    msg = f"the {whose} does not answer over https, and may be using plain http"
    return Obstacle(msg, f"Check the scheme and the port in {setting}")


def _of_proxy(status: int) -> Obstacle | None:
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        advice = "Put the user and the password into HTTPS_PROXY (http://user:password@host:port)"
    else:
        advice = "Check HTTPS_PROXY, and ask the owner of the proxy to allow the host of api_url"
    msg = f"the proxy refused to connect (HTTP {status})"
    return Obstacle(msg, advice)


_NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}
"""OpenSSL's reasons when what comes back is no TLS; which one depends on its version."""
_CONNECT_REFUSED = re.compile(r"Tunnel connection failed: (\d{3})\b")
"""How the standard library says that a proxy did not answer CONNECT with 200."""
_PASSING = {408, 425, 429}
"""Statuses below 500 with which a proxy refuses now, and may not later."""
_NOT_YET_VALID, _EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 9, 10, 62, 64
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED, _HOSTNAME_MISMATCH and
_IP_ADDRESS_MISMATCH."""


def _causes(fault: BaseException) -> Iterator[BaseException]:
    """Yield a fault and those that it wraps, the outermost first."""
    seen: set[int] = set()
    waiting: list[object] = [fault]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [*cause.args, cause.__cause__, cause.__context__]


_FAULTS: tuple[tuple[type[BaseException], str], ...] = (
    (urllib3.exceptions.ProxyError, "the proxy could not connect"),
    (urllib3.exceptions.NameResolutionError, "the host name was not found"),
    (urllib3.exceptions.NewConnectionError, "the connection failed"),
    (urllib3.exceptions.ConnectTimeoutError, "the connection timed out"),
    (urllib3.exceptions.TimeoutError, "no answer came in time"),
    (TimeoutError, "no answer came in time"),
    (urllib3.exceptions.SSLError, "the TLS handshake failed"),
    (BaseException, "the connection failed"),
)


_NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}
"""This process, or the machine, has as many files and connections open as it may."""


def is_starved(fault: BaseException) -> bool:
    """Return whether the system gave no file descriptor, so that no request could be made."""
    causes = _causes(fault)
    return any(isinstance(cause, OSError) and cause.errno in _NO_DESCRIPTORS for cause in causes)


def is_timeout(fault: BaseException) -> bool:
    """Return whether the API did not answer in time, or could not be reached in time."""
    return describe(fault).endswith("in time")


def describe(fault: BaseException) -> str:
    """Return a network fault in words. Its own text could hold anything, so it is not used."""
    if (found := obstacle(fault)) is not None:
        return found.what
    if is_starved(fault):
        return "no file descriptors are left"
    causes = list(_causes(fault))  # urllib3 wraps a timeout in sending as a broken connection.
    return next(
        words for kind, words in _FAULTS if any(isinstance(cause, kind) for cause in causes)
    )
