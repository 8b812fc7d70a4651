"""Renews what expires soon in the operator's workspace, and puts it where its holders find it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.authority import Authority, written
from fedvoxel.governance.certificate_register import EXPIRES_SOON, Issued
from fedvoxel.governance.consortium_file import load_consortium_file
from fedvoxel.governance.holder import Holder, holders_of
from fedvoxel.governance.list_places import kits_in, put_renewed, put_shared
from fedvoxel.governance.renewal import renew, take_up


@dataclass(frozen=True)
class Renewal:
    """Is what came of it.

    Attributes:
        renewed: The new certificates, each with the file to send.
        refused: Why somebody was not renewed, a line for each.
        places: The kits that the new list was put into.
    """

    renewed: list[tuple[Issued, Path]]
    refused: list[str]
    places: list[Path]


def renew_in_workspace(project_file: Path, workspace: Path, authority: Authority, names: tuple[str, ...]) -> Renewal:
    """Renews certificates and signs the revocation list anew; one that cannot be renewed keeps none of the others back.

    Args:
        project_file: The consortium file: who is not in it any more is not renewed.
        workspace: The operator's folder.
        authority: The open authority.
        names: Whose; everyone's whose certificate expires soon, or is of an old root, when empty.

    Raises:
        ConsortiumError: A name is not in the file; nothing is done then.
    """
    described = load_consortium_file(project_file)
    holders = holders_of(described)
    unknown = sorted(set(names) - {holder.name for holder in holders})
    if unknown:
        raise ConsortiumError(f"the consortium file has nobody of the name {', '.join(unknown)}")
    chosen = [holder for holder in holders if holder.name in names] if names else _expiring(authority, holders)
    renewed, refused = [], []
    for holder in chosen:
        try:
            new = renew(authority, holder, described.certificates.leaf_days)
            content = written(authority.folder, new.certificate)
            suffix = ".listener" if holder.kind == "listener" else ""
            renewed.append((new, put_renewed(workspace, f"{holder.name}{suffix}", content)))
            _take_up_here(workspace, holder, content)
        except ConsortiumError as error:
            refused.append(str(error))
    authority.sign_list(described.certificates.list_days)
    return Renewal(renewed, refused, put_shared(workspace))


def _expiring(authority: Authority, holders: tuple[Holder, ...]) -> list[Holder]:
    now = datetime.now(UTC)
    good = {(one.holder.name, one.holder.kind): one for one in authority.register.issued() if one.is_good(now)}
    newest = [(holder, good.get((holder.name, holder.kind))) for holder in holders]
    return [holder for holder, one in newest if one and _is_due(one.certificate, authority, now)]


def _is_due(certificate: x509.Certificate, authority: Authority, now: datetime) -> bool:
    """Says whether a certificate ends soon, or is of a root that is about to be dropped."""
    of_old_root = certificate.issuer != authority.certificate.subject
    return of_old_root or certificate.not_valid_after_utc - now < EXPIRES_SOON


def _take_up_here(workspace: Path, holder: Holder, content: bytes) -> None:
    """Puts a renewed certificate into the kits of this workspace that have its key: those made for development."""
    for kit in kits_in(workspace):
        if kit.name == holder.name and kit.private_key.is_file():
            take_up(kit, content, listener=holder.kind == "listener")
