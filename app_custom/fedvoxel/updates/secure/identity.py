"""Who a site is to the other sites: its consortium certificate, with which it signs what the server relays.

Every site has the consortium's root in its own kit, so that the server, which carries all messages, cannot put keys of
its own in the place of a site's. Whoever holds the root's private key can; see docs/secure_aggregation.md.
"""

from datetime import UTC, datetime

from cryptography import x509

from fedvoxel.errors import UpdateError
from fedvoxel.records.identity import has_signed, leads_to, name_of, role_of


def check_signed(name: str, written: str, root: x509.Certificate, content: bytes, signature: str) -> None:
    """Checks that `name`, a site of the root's consortium, has signed some bytes.

    Raises:
        UpdateError: The certificate is another's, a person's, out of date or of another root, or the signature is not
            of these bytes.
    """
    unsigned = f"a message that {name[:80]} has not signed with a certificate of this consortium"
    try:
        certificate, *behind = x509.load_pem_x509_certificates(written.encode())
    except ValueError:
        raise UpdateError(unsigned) from None
    if not leads_to((certificate, *behind), root):
        raise UpdateError(unsigned)
    _check_holder(certificate, name)
    if not has_signed(certificate, content, signature):
        raise UpdateError(unsigned)


def _check_holder(certificate: x509.Certificate, name: str) -> None:
    if name_of(certificate) != name:
        raise UpdateError(f"a certificate that is not {name[:80]}'s")
    if role_of(certificate):
        raise UpdateError(f"a certificate of a person, not of a site, for {name[:80]}")
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise UpdateError(f"a certificate of {name[:80]} that is not valid now")
