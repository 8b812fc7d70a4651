"""Backs up a kit or a consortium's workspace while it may be running, and puts it back where nothing is.

What is kept is what cannot be made again: keys and certificates, the owner's own policy, and `state/` with ledgers,
journals, audit log and what a run remembers. Logs and the workspaces of jobs are left out.

Files are read twice. First all of them, while work goes on; then, with the locks of all ledgers and logs held at once,
those that have changed since, which takes moments. So what is kept of all of them is of one instant, at which no entry
was being written, and the rest is as a power cut at that instant would leave it, which every reader can take.

A restored ledger may be older than what was spent since, and would give that budget back. So each privacy ledger is put
back with a head that says so: the site draws and sends nothing of that cohort before a person has recorded what was
spent (`fedvoxel privacy record-gap`). Likewise a server goes on with no run that it may have gone on with since (see
`restored_runs`). A note in the kit says what else to do; `fedvoxel site check` repeats it.
"""

import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from fedvoxel import __version__
from fedvoxel.errors import BackupError
from fedvoxel.governance.backup_file import reading, writing
from fedvoxel.governance.backup_source import Snapshot, add_file, check_source, facts_of, kits_in
from fedvoxel.governance.ledger_presence import RESTORED_FILE, RESTORED_NOTE
from fedvoxel.governance.restored_runs import mark_runs
from fedvoxel.records.atomic import write_bytes, write_text
from fedvoxel.records.chain_entry import HEAD_FILE

MANIFEST = "MANIFEST.json"
LEDGER_FILE = "ledger.jsonl"
"""The name of a privacy ledger, as `privacy.ledger` has it, which would load the accountant."""

NO_HEAD = "cannot be read"
"""What is said of a ledger's head that holds no hash: a damaged kit is backed up as it is."""

_HASH = re.compile(r"[0-9a-f]{64}")
_RESTORED_HEAD = b'{"restored": "from a backup: account for what was spent since with fedvoxel privacy record-gap"}\n'


@dataclass(frozen=True)
class Backup:
    """Is what a backup holds.

    Attributes:
        name: The folder that it is of.
        created: When it was made, UTC.
        fedvoxel: The release that made it.
        files: How many files.
        size_bytes: What they take.
        heads: Hash of the last entry of each ledger and log, by path: to be noted outside, and compared later;
            `NO_HEAD` where the head is damaged.
        encrypted: Whether it takes a passphrase.
        cohorts: Paths of the privacy ledgers' folders that have to be accounted for after restoring.
    """

    name: str
    created: str
    fedvoxel: str
    files: int
    size_bytes: int
    heads: dict[str, str]
    encrypted: bool
    cohorts: tuple[str, ...]


def create_backup(folder: Path, target: Path, passphrase: str | None) -> Backup:
    """Writes a backup of a kit's folder or a consortium's workspace.

    Args:
        folder: The kit or workspace.
        target: The backup's file; nothing may be there.
        passphrase: With which it is encrypted; None leaves it readable, with the private keys in it.

    Raises:
        BackupError: The folder is neither, holds a link, or the backup cannot be written.
        LedgerError: A ledger or log stays locked.
    """
    folder, target = folder.resolve(), target.resolve()
    check_source(folder)
    if target.is_relative_to(folder):
        raise BackupError("the backup would lie in what it backs up; give a place outside, best on another machine")
    about = {"name": folder.name, "created": datetime.now(UTC).isoformat(), "fedvoxel": __version__}
    with writing(target, about, passphrase) as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
        manifest = Snapshot(folder, archive).take()
        add_file(archive, MANIFEST, json.dumps(manifest).encode(), 0o600)
    try:
        return check_backup(target, passphrase)
    except BaseException:
        target.unlink()  # so that it passes for no backup, and another may be made in its place
        raise


def check_backup(path: Path, passphrase: str | None) -> Backup:
    """Reads a whole backup without unpacking it, and returns what it holds.

    Raises:
        BackupError: It was changed or cut, does not open, or is not what its manifest says.
    """
    with reading(path, passphrase) as (about, stream):
        found, manifest, heads = {}, None, {}
        for name, content, mode in _members(stream):
            if name == MANIFEST:
                manifest = json.loads(content)
                continue
            found[name] = facts_of(content, mode)
            if PurePosixPath(name).name == HEAD_FILE:
                heads[name] = _hash_in(content)
        _check_manifest(found, manifest)
        kept = manifest or {}
    return Backup(
        name=str(about["name"]),
        created=str(about["created"]),
        fedvoxel=str(about["fedvoxel"]),
        files=len(kept),
        size_bytes=sum(facts["size_bytes"] for facts in kept.values()),
        heads={name: hash_ for name, hash_ in sorted(heads.items()) if name in kept},
        encrypted=about["salt"] is not None,
        cohorts=tuple(sorted(str(PurePosixPath(name).parent) for name in kept if _is_budget_ledger(name))),
    )


def restore_backup(path: Path, target: Path, passphrase: str | None) -> Backup:
    """Puts a backup back into a new folder; see the module for what happens to privacy ledgers.

    Args:
        path: The backup.
        target: The folder to make; it may not be there.
        passphrase: With which it was made, if any.

    Raises:
        BackupError: Something is there, or the backup is not whole; nothing is left at `target` then.
    """
    if target.exists() or target.is_symlink():
        raise BackupError(f"{target.name} is there already; a restore never writes over anything: give another folder")
    backup = check_backup(path, passphrase)
    part = target.with_name(f".{target.name}.restoring")
    if part.exists():
        raise BackupError(f"{part.name} is left of a restore that did not finish; delete it and try again")
    part.mkdir(mode=0o700, parents=True)
    try:
        _unpack(path, part, passphrase)
        _mark_restored(part, backup)
        part.rename(target)
    except OSError as error:
        shutil.rmtree(part)
        raise BackupError(f"the backup could not be put back ({error.strerror or type(error).__name__})") from None
    except BaseException:
        shutil.rmtree(part)
        raise
    return backup


def _unpack(path: Path, part: Path, passphrase: str | None) -> None:
    manifest: dict[str, Any] = {}
    with reading(path, passphrase) as (_, stream):
        for name, content, mode in _members(stream):
            if name == MANIFEST:
                manifest = json.loads(content)
            else:
                _put(part, name, content, mode)
    for left in {str(file.relative_to(part)) for file in part.rglob("*") if file.is_file()} - set(manifest):
        (part / left).unlink()


def _mark_restored(folder: Path, backup: Backup) -> None:
    """Has no privacy ledger go on before somebody has accounted for it, and no run of a server; leaves the note."""
    for cohort in backup.cohorts:
        write_bytes(folder / cohort / HEAD_FILE, _RESTORED_HEAD, 0o600)
    for kit in kits_in(folder):
        if (kit / "state").is_dir():
            write_text(kit / RESTORED_FILE, RESTORED_NOTE.format(created=backup.created))
            mark_runs(kit, backup.created)


def _put(folder: Path, name: str, content: bytes, mode: int) -> None:
    path = folder / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_bytes(path, content, mode)


def _hash_in(head: bytes) -> str:
    try:
        found = json.loads(head)
    except (ValueError, RecursionError):
        return NO_HEAD
    said = found.get("hash") if isinstance(found, dict) else None
    return said if isinstance(said, str) and _HASH.fullmatch(said) else NO_HEAD


def _is_budget_ledger(name: str) -> bool:
    return PurePosixPath(name).name == LEDGER_FILE


def _members(stream: Any) -> Iterator[tuple[str, bytes, int]]:
    """Yields the files of a tar, and refuses whatever is no plain file below its folder."""
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                place = PurePosixPath(member.name)
                # A sparse file says in some bytes that it has any number of zeros.
                if not member.isreg() or member.issparse() or place.is_absolute() or ".." in place.parts:
                    raise BackupError("the backup holds something else than plain files below its folder")
                if not place.parts:
                    raise BackupError("the backup holds a file without a name")
                content = archive.extractfile(member)
                yield member.name, content.read() if content else b"", member.mode & 0o777
    except (tarfile.TarError, EOFError):
        raise BackupError("the backup's files cannot be read; take another copy") from None


def _check_manifest(found: dict[str, dict[str, Any]], manifest: Any) -> None:
    # A name that is not there would be as one whose facts are null.
    if not isinstance(manifest, dict) or any(
        facts is None or found.get(name) != facts for name, facts in manifest.items()
    ):
        raise BackupError("the backup does not hold what its manifest says; take another copy")
