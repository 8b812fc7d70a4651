"""Where an authority's revocation list and renewed certificates go in the operator's own workspace, and its alarms.

A kit that runs elsewhere gets them from its owner or from the server; the kits that lie in the workspace, as they do
for development or where the operator runs the server from it, get them here.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.authority import ROOT_FILE, read_root
from fedvoxel.governance.certificate_register import EXPIRES_SOON, Register
from fedvoxel.governance.kit import Kit, open_kit
from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.revocation import LIST_FILE, read_lists

RENEWED = "renewed"
"""The folder, in the workspace and in a server's `startup/`, with renewed certificates for their holders to fetch."""


def kits_in(workspace: Path) -> Iterator[Kit]:
    """Yields the kits in a workspace that trust its authority, those of earlier `prod_NN` folders too: one may run."""
    root = (workspace / "authority" / ROOT_FILE).read_bytes()
    for path in sorted(workspace.glob(f"*/prod_[0-9]*/*/startup/{ROOT_FILE}")):
        if path.read_bytes() == root:
            yield open_kit(path.parents[1])


def put_list(workspace: Path, crl: Path) -> list[Path]:
    """Puts a list into the workspace's kits, and returns where."""
    places = [kit.startup / LIST_FILE for kit in kits_in(workspace)]
    for place in places:
        write_bytes(place, crl.read_bytes())
    return places


def put_renewed(workspace: Path, name: str, certificate: bytes) -> Path:
    """Writes a renewed certificate to where it is sent from, and where the server gives it to its holder."""
    path = workspace / RENEWED / f"{name}.crt"
    write_bytes(path, certificate)
    for kit in kits_in(workspace):
        if kit.kind == "server":
            write_bytes(kit.startup / RENEWED / path.name, certificate)
    return path


def authority_alarms(folder: Path, now: datetime) -> list[str]:
    """Says what of an authority ends soon: the root, the list, and everyone's certificates."""
    ends = {"the root certificate (fedvoxel consortium rotate-ca)": read_root(folder).not_valid_after_utc}
    try:
        (crl,) = read_lists(folder / LIST_FILE)[:1]
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
