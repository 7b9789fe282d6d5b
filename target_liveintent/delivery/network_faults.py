"""Network faults: what each one means for a request, in words, and what to do about it.

Nothing of a fault's own text is shown, as it could hold anything.
"""

from __future__ import annotations

import errno
import http.client
import logging
import os
import re
import socket
import ssl
import sys
from collections.abc import Iterator
from http import HTTPStatus
from typing import NamedTuple

import urllib3

from target_liveintent.delivery.api import Verdict

if sys.platform != "win32":
    import resource

# Users filter log lines by this name, so it does not depend on where this module is.
_logger = logging.getLogger("target_liveintent.client")
NETWORK_FAULTS = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, UnicodeError)
"""The exceptions of a connection for a network fault, which `explain` describes. Looking up a host
raises a `UnicodeError` if a part of its name is empty or too long."""
_SPARE = 16
"""File descriptors that connections leave to the store, the report, metrics and the resolver."""


class NetworkFault(NamedTuple):
    """Why a request got no answer.

    Attributes:
        verdict: What that means for its events. If it is `UNREACHABLE`, a certificate or a proxy
            must be set right first.
        what: What happened.
        advice: What to check, and what to do; empty if nothing.
    """

    verdict: Verdict
    what: str
    advice: str = ""

    @property
    def in_words(self) -> str:
        """What happened, and what to do."""
        return f"{self.what}. {self.advice}" if self.advice else self.what


def explain(fault: BaseException, *, by_proxy: bool = False) -> NetworkFault:
    """Return what a network fault means.

    Args:
        fault: What a connection raised.
        by_proxy: Whether the proxy was not connected yet.
    """
    causes = list(_causes(fault))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _of_certificate(cause, *(_PROXY if by_proxy else _API))
        if isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS:
            return _of_plain_http(*(_PROXY if by_proxy else _API))
        if isinstance(cause, OSError) and (refusal := _CONNECT_REFUSED.match(str(cause))):
            return _of_proxy(int(refusal[1]))
        if isinstance(cause, OSError) and cause.errno in _NO_DESCRIPTORS:
            return _STARVED
    if by_proxy and not isinstance(fault, TimeoutError):
        return _NO_PROXY
    return next(
        NetworkFault(verdict, words)
        for kind, verdict, words in _FAULTS
        if any(isinstance(cause, kind) for cause in causes)
    )


_FAULTS: tuple[tuple[type[BaseException], Verdict, str], ...] = (
    (socket.gaierror, Verdict.FAULT, "the host name was not found"),
    (urllib3.exceptions.ConnectTimeoutError, Verdict.FAULT, "the connection timed out"),
    (TimeoutError, Verdict.LIMITED, "no answer came in time"),
    (ssl.SSLError, Verdict.FAULT, "the TLS handshake failed"),
    (BaseException, Verdict.FAULT, "the connection failed"),
)
_MORE_DESCRIPTORS = "Raise the limit on open files (ulimit -n), or lower max_concurrent_requests"
_STARVED = NetworkFault(Verdict.STARVED, "no file descriptors are left", _MORE_DESCRIPTORS)
_NO_PROXY = NetworkFault(Verdict.FAULT, "the proxy could not connect")
_UNUSABLE = "this machine cannot send requests to the API: "
WRONG_CERTIFICATES = NetworkFault(
    Verdict.UNREACHABLE,
    f"{_UNUSABLE}the certificate file does not exist or cannot be used",
    "Correct REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or SSL_CERT_FILE",
)
WRONG_PROXY = NetworkFault(
    Verdict.UNREACHABLE,
    f"{_UNUSABLE}the environment variable HTTPS_PROXY contains a URL that cannot be used",
    "Correct the variable",
)
NO_SOCKS = NetworkFault(
    Verdict.UNREACHABLE,
    f"{_UNUSABLE}the proxy needs a package that is not installed",
    "For a SOCKS proxy, run: pip install 'requests[socks]'",
)
_API, _PROXY = ("API", "api_url"), ("proxy", "HTTPS_PROXY")
_NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}
"""OpenSSL's reasons if an answer is not TLS. Its version decides which one it gives."""
_CONNECT_REFUSED = re.compile(r"Tunnel connection failed: (\d{3})\b")
"""The message in which the standard library names the status of a proxy. Only this text has it."""
_PASSING = {408, 425, 429}
"""Statuses below 500 of a proxy that may accept later."""
_NOT_YET_VALID, _EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 9, 10, 62, 64
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED, _HOSTNAME_MISMATCH and
_IP_ADDRESS_MISMATCH."""
_NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}
"""This process, or the machine, has as many files and connections open as it may."""


def _of_certificate(fault: ssl.SSLCertVerificationError, whose: str, setting: str) -> NetworkFault:
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
    return NetworkFault(Verdict.UNREACHABLE, msg, advice)


def _of_plain_http(whose: str, setting: str) -> NetworkFault:
    msg = f"the {whose} does not answer over https, and may be using plain http"
    return NetworkFault(Verdict.UNREACHABLE, msg, f"Check the scheme and the port in {setting}")


def _of_proxy(status: int) -> NetworkFault:
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _NO_PROXY
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        advice = "Put the user and the password into HTTPS_PROXY (http://user:password@host:port)"
    else:
        advice = "Check HTTPS_PROXY, and ask the owner of the proxy to allow the host of api_url"
    msg = f"the proxy refused to connect (HTTP {status})"
    return NetworkFault(Verdict.UNREACHABLE, msg, advice)


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


def most_connections(wanted: int) -> int:
    """Return how many of the wanted connections this machine allows, but at least one."""
    if sys.platform == "win32":  # Windows has no limit as low as that.
        return wanted
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir("/dev/fd"))  # noqa: PTH208 (only their number counts)
    except OSError:  # The folder does not exist, or no descriptor is left to read it.
        return wanted
    left = max(1, most - used - _SPARE)
    if most == resource.RLIM_INFINITY or left >= wanted:
        return wanted
    _logger.warning(
        "max_concurrent_requests is %d, but the limit on open files allows only %d requests at"
        " the same time. %s",
        wanted,
        left,
        _MORE_DESCRIPTORS,
    )
    return left
