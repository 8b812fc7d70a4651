"""Who a site is to the other sites: its consortium certificate, with which it signs what the server relays.

Every site has the consortium's root in its own kit, so that the server, which carries all messages, cannot put keys of
its own in the place of a site's. Whoever holds the root's private key can; see docs/secure_aggregation.md. A site whose
certificate is revoked counts for nobody who has the list: a list that cannot be relied on lets nobody in.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from fedvoxel.errors import ConsortiumError, UpdateError
from fedvoxel.records.identity import has_signed, is_issued_by, leads_to, name_of, role_of
from fedvoxel.records.pem import certificates_in
from fedvoxel.records.revocation import check_list, check_list_is_of_now

Lists = tuple[x509.CertificateRevocationList, ...]
"""The revocation lists in a kit, one of each root; none where the kit has none, and nothing is known then."""


@dataclass(frozen=True)
class Signers:
    """Are the sites whose signatures count: those of one root that are on none of its lists."""

    root: x509.Certificate
    lists: Lists = ()

    def check_signed(self, name: str, written: str, content: bytes, signature: str) -> None:
        """Checks that `name`, a site of the root's consortium, has signed some bytes.

        Raises:
            UpdateError: The certificate is another's, a person's, out of date, revoked or of another root, or the
                signature is not of these bytes; or the revocation list cannot be relied on.
        """
        unsigned = f"a message that {name[:80]} has not signed with a certificate of this consortium"
        try:
            certificate, *behind = certificates_in(written.encode())
        except ValueError:
            raise UpdateError(unsigned) from None
        if not leads_to((certificate, *behind), self.root):
            raise UpdateError(unsigned)
        now = datetime.now(UTC)
        _check_holder(certificate, name, now)
        if not has_signed(certificate, content, signature):
            raise UpdateError(unsigned)
        if self.lists:
            issuer = self.root if is_issued_by(certificate, self.root) else behind[0]
            self._check_not_revoked(certificate, issuer, now)

    def _check_not_revoked(self, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> None:
        own = next((one for one in self.lists if one.issuer == issuer.subject), None)
        if own is None:
            raise UpdateError("the revocation list says nothing of the root that issued a site's certificate")
        try:
            check_list(own, issuer)
            check_list_is_of_now(own, now)
        except ConsortiumError as problem:
            raise UpdateError(str(problem)) from None
        if own.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            raise UpdateError(f"a certificate of {name_of(certificate)[:80]} that is revoked")


def _check_holder(certificate: x509.Certificate, name: str, now: datetime) -> None:
    if name_of(certificate) != name:
        raise UpdateError(f"a certificate that is not {name[:80]}'s")
    if role_of(certificate):
        raise UpdateError(f"a certificate of a person, not of a site, for {name[:80]}")
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise UpdateError(f"a certificate of {name[:80]} that is not valid now")
