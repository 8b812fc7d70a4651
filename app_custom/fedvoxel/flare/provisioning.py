"""Makes the startup kits of a consortium with `nvflare provision`, all of them or none.

FLARE writes its certificate authority's state in place and leaves half-made folders behind when it is interrupted. So
it works in a folder of its own with a copy of that state, and only a complete result is moved to where the kits stay.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

import fedvoxel
from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.approval_policy import APPROVAL_FILE
from fedvoxel.governance.consortium import Consortium, ConsortiumRecord, load_consortium, save_consortium
from fedvoxel.governance.consortium_file import ConsortiumFile, load_consortium_file, with_port
from fedvoxel.governance.kit import KitKind
from fedvoxel.governance.ledger_presence import MOVE_FILE, has_ledger, leave_note
from fedvoxel.governance.local_policy import authorization, environment, privacy, resources
from fedvoxel.privacy.policy import PRIVACY_FILE
from fedvoxel.records.atomic import write_text
from fedvoxel.records.canonical import sha256_of

PACKAGE_ROOT = Path(fedvoxel.__file__).resolve().parents[1]
_KEPT = ("fedvoxel_site.json", "fedvoxel_exclusions.json", PRIVACY_FILE, APPROVAL_FILE)
_TIMEOUT_S = 300


def create_consortium(project_file: Path, workspace: Path, port: int | None = None) -> Consortium:
    """Makes a startup kit for everyone in `project_file`, or returns the present ones when nothing has changed.

    Called again with a changed file, it keeps the certificate authority and everyone's certificate, makes new kits in
    the next `prod_NN` folder, and takes over each site's own description (and with it its pseudonym key) and its
    privacy policy. The policy of a site whose kit before has a ledger is not taken over: it would grant anew what is
    spent. A note in the new kit says what the hospital moves there, and until then nothing leaves.

    Args:
        project_file: The consortium file.
        workspace: The folder for the kits and the authority's keys.
        port: The server's port, instead of the file's.

    Raises:
        ConfigError: The file does not describe a consortium.
        ConsortiumError: The workspace cannot be used, or FLARE could not make the kits.
    """
    described = load_consortium_file(project_file)
    if port is not None:
        described = with_port(described, port)
    workspace = workspace.resolve()
    if any(character.isspace() for character in str(workspace)):
        raise ConsortiumError(
            f"the workspace {str(workspace)!r} has a space in its path, which FLARE cannot start jobs in"
        )
    fingerprint = _fingerprint(described)
    present = _present(workspace)
    if present and present.record.file_sha256 == fingerprint and _is_complete(present):
        return present
    workspace.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".provisioning-", dir=workspace) as scratch:
        kits = _provision(described, workspace, Path(scratch))
        folder = _adopt(kits, workspace / described.name)
    made = Consortium(workspace, _record(described, fingerprint, folder.relative_to(workspace)))
    _take_over(present, made)
    save_consortium(made)
    return made


def _present(workspace: Path) -> Consortium | None:
    try:
        return load_consortium(workspace)
    except ConsortiumError:
        return None


def _fingerprint(described: ConsortiumFile) -> str:
    """Returns a hash of everything that decides what is in the kits, but for the keys."""
    kinds: tuple[KitKind, ...] = ("server", "site")
    decided = [(authorization(kind), privacy(kind), environment(kind)) for kind in kinds]
    policy = [resources({"components": []}, "site"), decided]
    return sha256_of({"version": fedvoxel.__version__, "file": described.model_dump(mode="json"), "policy": policy})


def _is_complete(consortium: Consortium) -> bool:
    record = consortium.record
    names = (record.server, *record.relays, *record.sites, *record.people)
    return all((consortium.kit(name) / "startup").is_dir() for name in names)


def _provision(described: ConsortiumFile, workspace: Path, scratch: Path) -> Path:
    """Runs FLARE in `scratch` and returns the project folder that it made there."""
    project_file = scratch / "consortium.yml"
    write_text(project_file, yaml.safe_dump(described.model_dump(mode="json", exclude_none=True), sort_keys=False))
    state = workspace / described.name / "state"
    if state.is_dir():
        shutil.copytree(state, scratch / described.name / "state")
    command = [sys.executable, "-m", "nvflare.cli", "provision", "-p", str(project_file), "-w", str(scratch), "--force"]
    done = subprocess.run(
        command,
        cwd=scratch,
        env=child_environment({"HOME": str(scratch)}),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    project = scratch / described.name
    if done.returncode != 0 or not (project / "prod_00").is_dir():
        raise ConsortiumError(f"nvflare provision could not make the kits: {_reason(done.stdout + done.stderr)}")
    return project


def child_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Returns this process's environment with the running package importable, and `extra` on top."""
    paths = [str(PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "FEDVOXEL_PYTHON": sys.executable, **(extra or {})}


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("ERROR:", "Error", "- "))] or lines[-1:] or ["no output"]
    return telling[0].removeprefix("ERROR:").strip()


def _adopt(made: Path, project: Path) -> Path:
    """Moves new kits and the authority's state to where they stay, and returns the folder with the kits."""
    (project / "state").mkdir(parents=True, mode=0o700, exist_ok=True)
    for secret in (made / "state").iterdir():
        os.replace(secret, project / "state" / secret.name)
    numbers = [int(path.name.removeprefix("prod_")) for path in project.glob("prod_[0-9]*")]
    folder = project / f"prod_{max(numbers, default=-1) + 1:02d}"
    os.replace(made / "prod_00", folder)
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
