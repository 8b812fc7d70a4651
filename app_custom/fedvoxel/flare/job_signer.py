"""Who has signed a job, by FLARE's own check of the signature, and whether that person's certificate counts now.

FLARE judges a signature by the present time and by the first root in the kit, knows of no revocation, and says yes or
no. Here a revoked certificate signs nothing, and what is wrong is said.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from nvflare.lighter.tool_consts import NVFLARE_SIG_FILE, NVFLARE_SUBMITTER_CRT_FILE
from nvflare.lighter.utils import verify_folder_signature_and_get_signers

from fedvoxel.errors import ConsortiumError, JobError
from fedvoxel.plain_file import read_plain
from fedvoxel.records.audit_event import Actor
from fedvoxel.records.identity import UNREADABLE, is_issued_by, leads_to, load_root, name_of
from fedvoxel.records.pem import certificates_in
from fedvoxel.records.revocation import check_list, check_list_is_of_now

Lists = Sequence[x509.CertificateRevocationList]
"""The revocation lists in a kit, one of each root; none where the kit has none, and nothing is known then."""

_NOT_SIGNED = "the job's signature is not one person's of this content"


def signer_of(app: Path, root: Path, lists: Lists, now: datetime) -> Actor | None:
    """Returns who has signed an app; None where nobody has.

    Args:
        app: The app's folder, unpacked.
        root: The kit's file of roots.
        lists: The lists to go by.
        now: The present (aware).

    Raises:
        JobError: The signature is not one person's of this content, or was made with a certificate that is revoked, has
            ended, or is of a root that is not trusted.
        ConsortiumError: The root cannot be read, or the list cannot be relied on.
    """
    if not (app / NVFLARE_SIG_FILE).exists():
        return None
    trusted = load_root(root)
    for chain in _chains(app):
        try:
            _check_counts(chain, trusted, lists, now)
        except UNREADABLE:
            raise JobError(_NOT_SIGNED) from None
    verified, signers = verify_folder_signature_and_get_signers(str(app), str(root))
    if not verified or len(signers) != 1:
        raise JobError(_NOT_SIGNED)
    name, organisation, role = map(str, signers[0])
    return Actor(name=name, role=role, organisation=organisation)


def _chains(app: Path) -> Iterator[list[x509.Certificate]]:
    """Yields what FLARE takes for the signer's certificate, in each folder of the app, with what stands behind it."""
    try:
        for written in {read_plain(path) for path in app.rglob(NVFLARE_SUBMITTER_CRT_FILE)}:
            yield certificates_in(written)
    except (OSError, ValueError):
        raise JobError(_NOT_SIGNED) from None


def _check_counts(chain: Sequence[x509.Certificate], root: x509.Certificate, lists: Lists, now: datetime) -> None:
    if not leads_to(chain, root):
        raise JobError("the job is signed with a certificate of a root that is not trusted, or not any more")
    certificate, ends = chain[0], chain[0].not_valid_after_utc
    whose = f"the certificate with which {name_of(certificate)} signed the job"
    issuer = root if is_issued_by(certificate, root) else chain[1]
    if lists and _is_revoked(certificate, issuer, lists, now):
        raise JobError(f"{whose} is revoked")
    if now > ends:
        raise JobError(f"{whose} ended on {ends:%Y-%m-%d}")


def _is_revoked(certificate: x509.Certificate, issuer: x509.Certificate, lists: Lists, now: datetime) -> bool:
    own = next((one for one in lists if one.issuer == issuer.subject), None)
    if own is None:
        raise ConsortiumError(
            "the revocation list says nothing of the root that issued the submitter's certificate; ask the operator "
            "for the newest"
        )
    check_list(own, issuer)
    check_list_is_of_now(own, now)
    return own.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
