"""Where an authority's revocation list and renewed certificates go in the operator's own workspace, and its alarms.

A kit that runs elsewhere gets them from its owner or from the server; the kits that lie in the workspace, as they do
for development or where the operator runs the server from it, get them here.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.authority_store import ROOT_FILE, read_roots
from fedvoxel.governance.certificate_register import EXPIRES_SOON, Register
from fedvoxel.governance.kit import Kit, open_kit
from fedvoxel.governance.rotation import FORMER, take_up_roots
from fedvoxel.records.atomic import write_public
from fedvoxel.records.identity import CROSS_FILE, load_roots
from fedvoxel.records.revocation import LIST_FILE, read_lists

RENEWED = "renewed"
"""The folder, in the workspace and in a server's `startup/`, with renewed certificates for their holders to fetch."""


def kits_in(workspace: Path) -> Iterator[Kit]:
    """Yields the kits in a workspace that trust its authority, those of earlier `prod_NN` folders too: one may run."""
    folder = workspace / "authority"
    own = set(read_roots(folder)).union(*(load_roots(path) for path in (folder / FORMER).glob("*[0-9A-F].pem")))
    for path in sorted(workspace.glob(f"*/prod_[0-9]*/*/startup/{ROOT_FILE}")):
        if own & set(load_roots(path)):
            yield open_kit(path.parents[1])


def put_shared(workspace: Path) -> list[Path]:
    """Puts the authority's roots and its list into the workspace's kits, and returns which kits.

    A kit whose own certificate is of none of the roots any more is left as it is: it is revoked, or was not renewed.
    """
    folder, put = workspace / "authority", []
    cross = (folder / CROSS_FILE).read_bytes() if (folder / CROSS_FILE).is_file() else b""
    for kit in kits_in(workspace):
        try:
            take_up_roots(kit, (folder / ROOT_FILE).read_bytes(), cross)
        except ConsortiumError:
            continue
        for shared in (LIST_FILE, *([CROSS_FILE] if cross else [])):
            write_public(kit.startup / shared, (folder / shared).read_bytes())
        put.append(kit.folder)
    return put


def put_renewed(workspace: Path, name: str, certificate: bytes) -> Path:
    """Writes a renewed certificate to where it is sent from, and where the server gives it to its holder."""
    path = workspace / RENEWED / f"{name}.crt"
    write_public(path, certificate)
    for kit in kits_in(workspace):
        if kit.kind == "server":
            write_public(kit.startup / RENEWED / path.name, certificate)
    return path


def authority_alarms(folder: Path, now: datetime) -> list[str]:
    """Says what of an authority ends soon: the root, the list, and everyone's certificates."""
    ends = {"the root certificate (fedvoxel consortium rotate-ca)": read_roots(folder)[-1].not_valid_after_utc}
    try:
        crl = read_lists(folder / LIST_FILE)[-1]
        if crl.next_update_utc is not None:
            ends["the revocation list (fedvoxel consortium renew)"] = crl.next_update_utc
    except ConsortiumError as error:
        return [str(error)]
    rows = Register(folder).states(now)
    served = {one.holder for one, state in rows if state in ("valid", "expires soon")}
    for one, state in rows:
        if state == "expires soon" or (state == "expired" and one.holder not in served):
            what = f"the certificate of {one.holder.name} (fedvoxel consortium renew)"
            ends[what] = one.certificate.not_valid_after_utc
    soon = {what: end for what, end in ends.items() if end - now < EXPIRES_SOON}
    return [f"{what} ends on {end:%Y-%m-%d}" for what, end in sorted(soon.items(), key=lambda item: item[1])]
