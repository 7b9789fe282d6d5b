"""Network faults: what each one means for a request, in words, and what to do about it.

Nothing of a fault's own text is shown, as it could hold anything.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import socket
import ssl
import sys
from http import HTTPStatus

import urllib3

from target_liveintent.delivery.api import Answer, Verdict

if sys.platform != "win32":
    import resource

NETWORK_FAULTS = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, UnicodeError)
"""The exceptions of a connection for a network fault, which `explain` describes. Looking up a host
raises a `UnicodeError` if a part of its name is empty or too long."""
_FAULTS: tuple[tuple[type[BaseException], Verdict, str], ...] = (
    (socket.gaierror, Verdict.FAULT, "the host name was not found"),
    (urllib3.exceptions.ConnectTimeoutError, Verdict.FAULT, "the connection timed out"),
    (TimeoutError, Verdict.LIMITED, "no answer came in time"),
    (ssl.SSLError, Verdict.FAULT, "the TLS handshake failed"),
    (BaseException, Verdict.FAULT, "the connection failed"),
)
_STARVED = Answer(
    Verdict.STARVED,
    "no file descriptors are left. Raise the limit on open files (ulimit -n), or lower"
    " max_concurrent_requests",
)
_NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}
"""This process, or the machine, has as many files and connections open as it may."""
_NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}
"""OpenSSL's reasons if an answer is not TLS. Its version decides which one it gives."""
_CONNECT_REFUSED = re.compile(r"Tunnel connection failed: (\d{3})\b")
"""The message in which the standard library names the status of a proxy. Only this text has it."""
_PASSING = {408, 425, 429}
"""Statuses below 500 of a proxy that may accept later."""
_SPARE = 16
"""File descriptors that connections leave to the store, the report, metrics and the resolver."""


def explain(fault: BaseException, *, by_proxy: bool = False) -> Answer:
    """Return what a network fault means for a request.

    Args:
        fault: What a connection raised.
        by_proxy: Whether the proxy was not connected yet.
    """
    whose, setting = ("proxy", "HTTPS_PROXY") if by_proxy else ("API", "api_url")
    faults = (fault, fault.__cause__)  # A SOCKS proxy's connection wraps the cause.
    if any(isinstance(one, OSError) and one.errno in _NO_DESCRIPTORS for one in faults):
        return _STARVED
    if isinstance(fault, ssl.SSLCertVerificationError):
        said = fault.verify_message.rstrip(".")  # OpenSSL's words, with nothing but a host in them.
        return Answer(
            Verdict.UNREACHABLE,
            f"this machine does not accept the certificate of the {whose}: {said}. Check this"
            f" machine's clock, and the host in {setting}. If your company's network inspects TLS,"
            " or the server is your own, set REQUESTS_CA_BUNDLE (or SSL_CERT_FILE) to a file with"
            " the certificate of the authority that issued the server's certificate",
        )
    if isinstance(fault, ssl.SSLError) and fault.reason in _NOT_TLS:
        return Answer(
            Verdict.UNREACHABLE,
            f"the {whose} does not answer over https, and may be using plain http. Check the scheme"
            f" and the port in {setting}",
        )
    refusal = _CONNECT_REFUSED.match(str(fault)) if isinstance(fault, OSError) else None
    status = int(refusal[1]) if refusal else HTTPStatus.BAD_GATEWAY
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _PASSING:
        return Answer(
            Verdict.UNREACHABLE,
            f"the proxy refused to connect (HTTP {status}). Check the user and the password in"
            " HTTPS_PROXY (http://user:password@host:port), and ask the owner of the proxy to allow"
            " the host of api_url",
        )
    if by_proxy and not isinstance(fault, TimeoutError):
        return Answer(Verdict.FAULT, "the proxy could not connect")
    return next(
        Answer(verdict, words)
        for kind, verdict, words in _FAULTS
        if any(isinstance(one, kind) for one in faults)
    )


def most_connections(wanted: int) -> int:
    """Return how many of the wanted connections this machine allows, but at least one."""
    if sys.platform == "win32":  # Windows has no limit as low as that.
        return wanted
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir("/dev/fd"))  # noqa: PTH208 (only their number counts)
    except OSError:  # The folder does not exist, or no descriptor is left to read it.
        return wanted
    if most == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(1, most - used - _SPARE))
