"""Makes the startup kits of a whole consortium on one machine, all of them or none: for development and teaching.

Everybody's private key is made here and lies in that one's kit; where hospitals keep their keys to themselves, kits
are made one by one (`flare.issuing`). FLARE leaves half-made folders behind when it is interrupted, so it works in a
folder of its own, and only a complete result is moved to where the kits stay.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import fedvoxel
from fedvoxel.errors import ConsortiumError
from fedvoxel.flare.kit_making import make_kits
from fedvoxel.governance.adoption import adopt_authority
from fedvoxel.governance.approval_policy import APPROVAL_FILE
from fedvoxel.governance.authority import Authority
from fedvoxel.governance.authority_store import KEY_FILE, ROOT_FILE, create_authority, open_authority
from fedvoxel.governance.consortium import (
    Consortium,
    ConsortiumRecord,
    authority_folder,
    load_consortium,
    save_consortium,
)
from fedvoxel.governance.consortium_file import ConsortiumFile, load_consortium_file, with_port
from fedvoxel.governance.holder import holders_of
from fedvoxel.governance.kit import KitKind
from fedvoxel.governance.kit_certificates import KitCertificates
from fedvoxel.governance.ledger_presence import MOVE_FILE, has_ledger, leave_note
from fedvoxel.governance.local_policy import authorization, environment, privacy, resources
from fedvoxel.governance.own_components import OWN_COMPONENTS
from fedvoxel.privacy.policy import PRIVACY_FILE
from fedvoxel.records.canonical import sha256_of

_KEPT = ("fedvoxel_site.json", "fedvoxel_exclusions.json", PRIVACY_FILE, APPROVAL_FILE)


def create_consortium(
    project_file: Path,
    workspace: Path,
    port: int | None = None,
    passphrase: str | None = None,
    key_folder: Path | None = None,
) -> Consortium:
    """Makes a startup kit for everyone in `project_file`, or returns the present ones when nothing has changed.

    Called again with a changed file, it keeps authority and certificates, makes new kits in the next `prod_NN` folder,
    and takes over each site's own description and policies; but not the privacy policy of a site whose kit before has a
    ledger, which would grant anew what is spent: a note in the new kit says what the hospital moves there.

    Args:
        project_file: The consortium file.
        workspace: The folder for the kits and the certificate authority.
        port: The server's port, instead of the file's.
        passphrase: Of the authority's key. Where None, a new one's is not kept: nobody can be added or revoked later.
        key_folder: Where that key is, or goes; the authority's folder when None.

    Raises:
        ConfigError: The file does not describe a consortium.
        ConsortiumError: The workspace cannot be used, or FLARE could not make the kits.
    """
    read = load_consortium_file(project_file)
    described = read if port is None else with_port(read, port)
    workspace = _without_spaces(workspace.resolve())
    fingerprint, present = _fingerprint(described), _present(workspace)
    if present and present.record.file_sha256 == fingerprint and _is_complete(present):
        return present
    workspace.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".provisioning-", dir=workspace) as scratch:
        certificates = Path(scratch) / "certificates"
        _lay_out(described, present, _Place(workspace, key_folder, passphrase), certificates)
        folder = _adopt(make_kits(described, certificates, Path(scratch)), workspace / described.name)
    made = Consortium(workspace, _record(described, fingerprint, folder.relative_to(workspace)))
    _take_over(present, made)
    save_consortium(made)
    return made


def _without_spaces(workspace: Path) -> Path:
    if any(character.isspace() for character in str(workspace)):
        raise ConsortiumError(
            f"the workspace {str(workspace)!r} has a space in its path, which FLARE cannot start jobs in"
        )
    return workspace


@dataclass(frozen=True)
class _Place:
    """Is where the authority is, and what opens it."""

    workspace: Path
    key_folder: Path | None
    passphrase: str | None


def _present(workspace: Path) -> Consortium | None:
    try:
        return load_consortium(workspace)
    except ConsortiumError:
        return None


def _fingerprint(described: ConsortiumFile) -> str:
    """Returns a hash of everything that decides what is in the kits, but for the keys."""
    kinds: tuple[KitKind, ...] = ("server", "site")
    decided = [(authorization(kind), privacy(kind), environment(kind)) for kind in kinds]
    policy = [resources({"components": []}, "site"), OWN_COMPONENTS, decided]
    return sha256_of({"version": fedvoxel.__version__, "file": described.model_dump(mode="json"), "policy": policy})


def _is_complete(consortium: Consortium) -> bool:
    record = consortium.record
    names = (record.server, *record.relays, *record.sites, *record.people)
    return all((consortium.kit(name) / "startup").is_dir() for name in names)


def _lay_out(described: ConsortiumFile, present: Consortium | None, place: _Place, target: Path) -> None:
    """Writes everyone's certificate files, from an authority that is made if there is none."""
    times, folder = described.certificates, authority_folder(place.workspace)
    before_ours = place.workspace / described.name / "state" / "cert.json"

    @cache
    def opened() -> Authority:
        keys = place.key_folder or folder
        if present is None and place.passphrase is None and not (keys / KEY_FILE).exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a making that was interrupted: nobody can use it
        if (folder / ROOT_FILE).exists():
            return open_authority(folder, keys, place.passphrase)
        if before_ours.is_file():
            holders = holders_of(described)
            return adopt_authority(before_ours, folder, keys, holders, place.passphrase, times.list_days)
        days = (times.root_days, times.list_days)
        return create_authority(folder, keys, described.name, days, place.passphrase)

    if before_ours.is_file():
        opened()

    def before(name: str) -> Path | None:
        known = present is not None and (present.folder / name).is_dir()
        return present.folder / name if present is not None and known else None

    KitCertificates(folder, opened, times.leaf_days, target).lay_out_all(holders_of(described), before)


def _adopt(made: Path, project: Path) -> Path:
    """Moves new kits to where they stay, and returns the folder with them."""
    project.mkdir(parents=True, mode=0o700, exist_ok=True)
    numbers = [int(path.name.removeprefix("prod_")) for path in project.glob("prod_[0-9]*")]
    folder = project / f"prod_{max(numbers, default=-1) + 1:02d}"
    os.replace(made, folder)
    return folder


def _record(described: ConsortiumFile, fingerprint: str, folder: Path) -> ConsortiumRecord:
    return ConsortiumRecord(
        project=described.name,
        file_sha256=fingerprint,
        folder=str(folder),
        server=described.server.name,
        sites=tuple(site.name for site in described.sites),
        people={person.name: str(person.role) for person in described.people},
        relays=tuple(relay.name for relay in described.relays),
    )


def _take_over(before: Consortium | None, made: Consortium) -> None:
    """Copies what a site itself decided from its kit before to its new one, but no budget without its ledger."""
    for name in (made.record.server, *made.sites):
        earlier = [kit for kit in made.folder.parent.glob(f"prod_*/{name}") if kit != made.kit(name)]
        spent = any(has_ledger(kit) for kit in earlier)
        if spent:
            leave_note(made.kit(name), server=name == made.record.server)
        for kept in _KEPT if before and name in before.sites else ():
            old = before.kit(name) / "local" / kept if before else None
            if old and old.is_file() and not (spent and kept == PRIVACY_FILE):
                shutil.copy2(old, made.kit(name) / "local" / kept)


def kits_to_fill(consortium: Consortium) -> list[str]:
    """Returns whose kits are to be given the ledger of a kit before them; a note in each says how."""
    everyone = (consortium.record.server, *consortium.sites)
    return [name for name in everyone if (consortium.kit(name) / MOVE_FILE).is_file()]
