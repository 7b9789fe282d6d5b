"""Makes a certificate for loopback."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS = 10


def make_certificate(openssl: str, certificate: Path, key: Path) -> None:
    """Make a self-signed certificate for 127.0.0.1, and its key.

    Args:
        openssl: The program.
        certificate: The file for the certificate, which a client has to trust.
        key: The file for the key.
    """
    command = [openssl, "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS)
