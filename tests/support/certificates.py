"""Certificates for loopback servers, made afresh for each authority.

One authority is what a user would name as `ca_file`. A certificate is for "localhost" and 127.0.0.1 unless
told otherwise.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from datetime import UTC, datetime, timedelta

import trustme

LOOPBACK_NAMES = ("localhost", "127.0.0.1")


class Authority:
    """A certificate authority of our own."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    @property
    def pem(self) -> str:
        """The authority's certificate, the content of a `ca_file`."""
        return self._ca.cert_pem.bytes().decode("ascii")

    def write(self, path: str | os.PathLike[str]) -> str:
        """Write the authority's certificate to `path`; returns the path as text."""
        self._ca.cert_pem.write_to_path(os.fspath(path))
        return os.fspath(path)

    def issue(self, *names: str, expired: bool = False, rsa: bool = False) -> trustme.LeafCert:
        """Return a certificate with its key for host names or addresses; `expired` ended yesterday.

        The key is for ECDSA, or for RSA.
        """
        end = datetime.now(UTC) - timedelta(days=1) if expired else None
        start = datetime.now(UTC) - timedelta(days=30) if expired else None
        kind = trustme.KeyType.RSA if rsa else trustme.KeyType.ECDSA
        return self._ca.issue_cert(*(names or LOOPBACK_NAMES), not_before=start, not_after=end, key_type=kind)

    def write_pair(self, folder: str | os.PathLike[str], *names: str, rsa: bool = False) -> tuple[str, str]:
        """Write a new certificate and its key (mode 0600) into `folder`; returns (certificate, key) paths."""
        leaf = self.issue(*names, rsa=rsa)
        certificate, key = os.path.join(folder, "certificate.pem"), os.path.join(folder, "key.pem")
        with open(certificate, "wb") as out:
            out.writelines(blob.bytes() for blob in leaf.cert_chain_pems)
        with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(leaf.private_key_pem.bytes())
        return certificate, key

    def server_context(
        self, *names: str, expired: bool = False, clients: Authority | None = None
    ) -> ssl.SSLContext:
        """Return a server's TLS context; with `clients` it demands a client certificate of that authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.issue(*names, expired=expired).configure_cert(context)
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=clients.pem)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return a client's TLS context that trusts this authority only."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.pem)
        return context

    def fingerprint(self, leaf: trustme.LeafCert) -> str:
        """Return the SHA-256 of the certificate's DER form, upper-case hexadecimal joined by colons."""
        der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode("ascii"))
        digest = hashlib.sha256(der).hexdigest().upper()
        return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))
