"""Lists of revoked certificates, as a consortium's root signs them (RFC 5280), checked before anyone relies on one.

A list counts if it is signed by the root, is the root's whole list, and is of now. One that is not is refused, never
ignored: whoever could put an old or a damaged list in its place would let a revoked certificate back in.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from fedvoxel.errors import ConsortiumError
from fedvoxel.plain_file import read_plain
from fedvoxel.records.identity import UNREADABLE

LIST_FILE = "crl.pem"
"""The name of the list in a kit's `startup/` folder and in the authority's."""

CLOCK_SKEW = timedelta(minutes=5)
"""How far the clocks of two machines may differ."""

_BEGIN = b"-----BEGIN X509 CRL-----"


def read_lists(path: Path) -> tuple[x509.CertificateRevocationList, ...]:
    """Reads the lists in a file, one of each root that is trusted; see `check_list`.

    Args:
        path: A PEM file with one or more lists, or a DER file with one.

    Raises:
        ConsortiumError: It is missing or holds no list.
    """
    return read_with_lists(path)[1]


def read_with_lists(path: Path) -> tuple[bytes, tuple[x509.CertificateRevocationList, ...]]:
    """Reads a file once, and returns its content and the lists in it; see `read_lists`."""
    try:
        content = read_plain(path)
        return content, lists_in(content)
    except (OSError, ConsortiumError):
        raise ConsortiumError(f"expected the root's revocation list in {path.name}, got none") from None


def kept_lists(*places: Path) -> tuple[x509.CertificateRevocationList, ...]:
    """Reads the lists at the first of some places that has any; none where no place has, as in kits of old.

    Raises:
        ConsortiumError: What is there is no list.
    """
    found = next((place for place in places if place.exists()), None)
    return read_lists(found) if found else ()


def lists_in(content: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    """Returns the lists in a file's content; see `read_lists`."""
    try:
        parts = content.split(_BEGIN)[1:] if content.startswith(_BEGIN) else ()
        found = tuple(x509.load_pem_x509_crl(_BEGIN + part) for part in parts) or (x509.load_der_x509_crl(content),)
        # Whose list it is, is read when it is asked for, before anybody looks at a signature.
        _ = [one.issuer for one in found]
        return found
    except (ValueError, x509.InvalidVersion):
        raise ConsortiumError("expected the root's revocation list, got something else") from None


def check_list(crl: x509.CertificateRevocationList, root: x509.Certificate) -> None:
    """Checks that a list is a root's whole list.

    Raises:
        ConsortiumError: It is another's, or a list of changes or of some certificates only.
    """
    try:
        signed = crl.issuer == root.subject and crl.is_signature_valid(root.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        signed = False
    if not signed:
        raise ConsortiumError("the revocation list was not signed by this root; ask the operator for the right one")
    # A list of changes, or of some certificates only, says so in an extension that must be understood.
    if _says_more(crl):
        raise ConsortiumError("the revocation list is not the root's whole list; ask the operator for that one")


def _says_more(crl: x509.CertificateRevocationList) -> bool:
    """Says whether a list has extensions that must be understood, or that cannot be read."""
    try:
        return any(extension.critical for extension in crl.extensions)
    except UNREADABLE:
        return True


def check_list_is_of_now(crl: x509.CertificateRevocationList, now: datetime) -> None:
    """Checks that a list holds at present.

    Raises:
        ConsortiumError: It is out of date, or not valid yet.
    """
    begins, ends = crl.last_update_utc, crl.next_update_utc
    if ends is None or not begins - CLOCK_SKEW <= now <= ends:
        until = "nobody knows when" if ends is None else said(ends)
        raise ConsortiumError(
            f"the revocation list holds from {said(begins)} until {until}, not now; ask the operator for the newest"
        )


def number_of(crl: x509.CertificateRevocationList) -> int:
    """Returns a list's number, which grows with every list; 0 where it has none."""
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return 0


def revoked_from(entry: x509.RevokedCertificate) -> datetime:
    """Returns since when a certificate counts for nothing: its invalidity date (RFC 5280 5.3.2), if that is earlier."""
    try:
        invalid = entry.extensions.get_extension_for_class(x509.InvalidityDate).value.invalidity_date_utc
    except x509.ExtensionNotFound:
        return entry.revocation_date_utc
    except UNREADABLE:
        return datetime.min.replace(tzinfo=UTC)  # what cannot be read may say any day
    return min(invalid, entry.revocation_date_utc)


def serial_text(serial_number: int) -> str:
    """Returns a serial number as lists and messages show it: hexadecimal, as OpenSSL writes it."""
    return f"{serial_number:X}"


def said(moment: datetime) -> str:
    """Returns a time as messages show it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
