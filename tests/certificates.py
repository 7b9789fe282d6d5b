"""Certificates of a made-up authority, and TLS contexts for servers with these certificates."""

import datetime as dt
import hashlib
import ssl
from functools import lru_cache
from pathlib import Path

import trustme
from cryptography import x509


@lru_cache(1)
def authority() -> trustme.CA:
    """Return the authority, which no machine trusts by default."""
    return trustme.CA()


def trusted(folder: Path) -> Path:
    """Write the authority's certificate to a file in a folder, and return the path."""
    path = folder / "authority.pem"
    authority().cert_pem.write_to_path(str(path))
    return path


def trusted_folder(folder: Path, pem: Path) -> Path:
    """Put a certificate into a folder under the name by which OpenSSL finds it; return the folder.

    The name is a hash of the subject in lower case, without the header of its encoding.
    """
    certificate = x509.load_pem_x509_certificate(pem.read_bytes())
    lowered = [x509.NameAttribute(a.oid, str(a.value).lower()) for a in certificate.subject]
    digest = hashlib.sha1(x509.Name(lowered).public_bytes()[2:], usedforsecurity=False).digest()
    (folder / f"{int.from_bytes(digest[:4], 'little'):08x}.0").write_bytes(pem.read_bytes())
    return folder


def tls(host: str = "127.0.0.1", *, expired: bool = False) -> ssl.SSLContext:
    """Return the TLS context of a server with a certificate for a host."""
    ended = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1) if expired else None
    return _of(authority().issue_cert(host, not_after=ended))


def self_signed_tls() -> ssl.SSLContext:
    """Return the TLS context of a server whose certificate is self-signed."""
    alone = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with alone.private_key_pem.tempfile() as key, alone.cert_pem.tempfile() as certificate:
        context.load_cert_chain(certificate, key)
    return context


def _of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context
