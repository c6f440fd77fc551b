"""TLS settings of a smart host to an SSLContext, and what a failed handshake means in words.

Guarantees: chain and name are verified unless the certificate or its key is pinned; nothing in the
environment changes whom we trust (SSL_CERT_FILE) or writes keys to a file (SSLKEYLOGFILE, which
ssl.create_default_context would honour).
"""

from __future__ import annotations

import os
import ssl
import sys

from sendmail_py.errors import printable
from sendmail_py.relay.faults import TransportFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sendmail_py.policy.config import SmartHost

VERSIONS = {
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}

ENCODING_DER = 2  # X509_FILETYPE_ASN1

# Where systems keep their CA certificates when this Python's OpenSSL was built to look elsewhere.
CA_FOLDERS = ("/etc/ssl/certs", "/etc/pki/tls/certs")
CA_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def context(setting: SmartHost, pinned: bool, anchors: Sequence[bytes] = ()) -> ssl.SSLContext:
    """The context for one smart host; TransportFault when a file that it names is of no use.

    pinned   whether pins.check decides about the certificate
    anchors  the authorities (DER), roots or not, that are trusted in place of all others
    """
    if anchors:
        return trusting(blank(setting), anchors)
    made = blank(setting)
    if pinned:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE  # pins.check replaces it
        return made
    try:
        load_authorities(made, setting)
    except (OSError, ValueError) as error:
        raise useless(setting, error) from None
    return made


def blank(setting: SmartHost) -> ssl.SSLContext:
    """A context with our certificate and key that trusts nobody yet; TransportFault."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and name
    made.minimum_version = VERSIONS[setting.min_tls]
    try:
        if setting.client_cert:
            # Without a password function OpenSSL would ask for one on the terminal.
            made.load_cert_chain(setting.client_cert, setting.client_key or None, password=lambda: "")
    except (OSError, ValueError) as error:
        raise useless(setting, error) from None
    return made


def trusting(made: ssl.SSLContext, anchors: Sequence[bytes]) -> ssl.SSLContext:
    """A blank context that now trusts these authorities (DER), roots or not (RFC 7671 5.2)."""
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whoever signed them
    try:
        made.load_verify_locations(cadata=b"".join(anchors))
    except (OSError, ValueError) as error:
        raise TransportFault(f"the server's authorities: {words(error)}") from None
    return made


def useless(setting: SmartHost, error: Exception) -> TransportFault:
    """The fault of a certificate or key that cannot be used."""
    return TransportFault(f"certificate files of smart host {setting.name}: {words(error)}")


def presented(secured: ssl.SSLSocket) -> list[bytes]:
    """The server's certificate and those that it sent with it (DER), verified or not."""
    if sys.version_info >= (3, 13):
        return list(secured.get_unverified_chain())
    # What 3.13 made public has been there since 3.10.
    chain = secured._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    return [one.public_bytes(ENCODING_DER) for one in chain or ()]


def load_authorities(made: ssl.SSLContext, setting: SmartHost) -> None:
    """Whom to trust: the configured CA, else the system's; hash links cost 0.25 ms to load, a bundle 50."""
    if setting.ca_file or setting.ca_path:
        made.load_verify_locations(setting.ca_file or None, setting.ca_path or None)
        return
    built_in = ssl.get_default_verify_paths()
    for folder in (built_in.openssl_capath, *CA_FOLDERS):
        if has_hash_links(folder):
            made.load_verify_locations(capath=folder)
            return
    for file in (built_in.openssl_cafile, *CA_FILES):
        if os.path.isfile(file):
            made.load_verify_locations(file)
            return
    raise ValueError("no CA certificates on this system; install ca-certificates or set ca_file")


def has_hash_links(folder: str) -> bool:
    """Whether OpenSSL can find certificates in that folder by the hash of their subject (c_rehash)."""
    try:
        with os.scandir(folder) as entries:
            return any(is_hash_link(entry.name) for entry in entries)
    except OSError:
        return False


def is_hash_link(name: str) -> bool:
    """`hhhhhhhh.n`."""
    return len(name) > 9 and name[8] == "." and name[9:].isdigit() and not name[:8].strip("0123456789abcdef")


def words(error: Exception) -> str:
    """What went wrong, without Python's decoration."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return printable(f"certificate verify failed: {error.verify_message.rstrip('.')}", 300)
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or "handshake failed"
        return "TLS: " + printable(reason.lower().replace("_", " "), 200)
    if isinstance(error, OSError):
        file = printable(f"{error.filename}: ", 200) if error.filename else ""
        return file + (error.strerror or "I/O error")
    return printable(str(error), 200)
