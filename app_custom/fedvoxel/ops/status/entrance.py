"""Whom a certificate makes of its holder, judged anew for each request: by the kit's root, its revocation list, now.

As at the server's own door nobody is let in while the list cannot be relied on, or there is none.
"""

from datetime import datetime

from cryptography import x509

from fedvoxel.errors import ConsortiumError
from fedvoxel.export.trust import Signer, Trust
from fedvoxel.governance.fetched_list import site_lists
from fedvoxel.governance.kit import Kit
from fedvoxel.records.identity import is_issued_by, load_roots


def viewer_of(shown: bytes | None, kit: Kit, now: datetime) -> Signer:
    """Returns who shows a certificate.

    Args:
        shown: The certificate (DER) with whose key the connection was made; None where none was shown.
        kit: The server's.
        now: The present (aware).

    Raises:
        FedVoxelError: It is of another consortium, expired, revoked, a server's, or of a role that is not known; it
            names no organisation; or the revocation list cannot be relied on.
    """
    try:
        certificate = x509.load_der_x509_certificate(shown or b"")
    except ValueError:
        raise ConsortiumError("no certificate was shown") from None
    root = next((one for one in load_roots(kit.root_certificate) if is_issued_by(certificate, one)), None)
    if root is None:
        raise ConsortiumError("the certificate is of no root that is trusted here")
    own = next((one for one in site_lists(kit) if one.issuer == root.subject), None)
    if own is None:
        raise ConsortiumError("there is no revocation list of the certificate's root")
    viewer = Trust(root, own).signer(certificate, now, now)
    if own.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
        raise ConsortiumError(f"the certificate of {viewer.name} is revoked")
    if not viewer.organisation:
        raise ConsortiumError(f"the certificate of {viewer.name} names no organisation")
    return viewer
