"""Verifies a pack offline: who signed it, each file against its hash, and what a file that is gone was evidence for."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedvoxel.config import json_of, parse_config
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.signature import LARGEST_BYTES, read_signature, verify
from fedvoxel.export.trust import Signer, Trust
from fedvoxel.governance.evidence.artefact import Entry, Inventory
from fedvoxel.governance.evidence.manifest import (
    LARGEST_FILE_BYTES,
    MANIFEST,
    PURPOSE,
    SIGNATURE,
    PackManifest,
    read_pack_manifest,
)
from fedvoxel.governance.evidence.pack import INVENTORY
from fedvoxel.governance.evidence.risk_map import RiskMap, risk_map
from fedvoxel.plain_file import read_plain


@dataclass(frozen=True)
class Turned:
    """Is a subcategory that is worth less than the pack says, since artefacts are gone or changed."""

    id: str
    before: str
    now: str


@dataclass(frozen=True)
class PackReport:
    """Is what was found about a pack.

    Attributes:
        signed_by: Who signed it.
        signed_at: When, as the signer says.
        missing: Files that were signed and are gone.
        changed: Files that are not what was signed.
        strange: Files that were not signed.
        turned: Subcategories that lose their evidence by that; all that are evidenced where the inventory is gone.
        risks: The map as it holds now; None where the inventory is gone or changed.
    """

    manifest: PackManifest
    signed_by: Signer
    signed_at: datetime
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    strange: tuple[str, ...]
    turned: tuple[Turned, ...]
    risks: RiskMap | None

    @property
    def holds(self) -> bool:
        """Says whether the pack is what was signed."""
        return not (self.missing or self.changed or self.strange)


def check_pack(folder: Path, trust: Trust, now: datetime) -> PackReport:
    """Verifies a pack.

    Args:
        folder: The pack.
        trust: Whose signature counts.
        now: The present (aware).

    Raises:
        PackageError: There is no manifest with a signature that counts, so that nothing can be said of the files.
        ConsortiumError: The revocation list is out of date.
    """
    content = _read(folder / MANIFEST)
    manifest = read_pack_manifest(content)
    signature = read_signature(_read(folder / SIGNATURE, LARGEST_BYTES), f"the pack's {SIGNATURE}")
    signer = verify(signature, PURPOSE, content, trust, now)
    found = {name: _sha256(folder / name) for name in manifest.files}
    missing = tuple(sorted(name for name, sha256 in found.items() if sha256 is None))
    changed = tuple(sorted(name for name, sha256 in found.items() if sha256 not in (None, manifest.files[name].sha256)))
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    strange = tuple(sorted(there - set(manifest.files) - {MANIFEST, SIGNATURE}))
    turned, risks = _turned(folder, {*missing, *changed})
    return PackReport(manifest, signer, signature.at, missing, changed, strange, turned, risks)


def _turned(folder: Path, bad: set[str]) -> tuple[tuple[Turned, ...], RiskMap | None]:
    if INVENTORY in bad:
        return (), None
    try:
        values = json_of(_read(folder / INVENTORY), f"the pack's {INVENTORY}")
        inventory = parse_config(Inventory, values, f"the pack's {INVENTORY}")
    except ConfigError as error:
        raise PackageError(str(error)) from None
    before, after = risk_map(inventory.artefacts), risk_map(_left(inventory.artefacts, bad))
    pairs = zip(before.subcategories, after.subcategories, strict=True)
    return tuple(Turned(one.id, one.status, other.status) for one, other in pairs if one.status != other.status), after


def _left(entries: Sequence[Entry], bad: set[str]) -> list[Entry]:
    return [one for one in entries if one.file not in bad]


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(read_plain(path, LARGEST_FILE_BYTES)).hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PackageError(f"a file of the pack cannot be read ({error.strerror or type(error).__name__})") from None


def _read(path: Path, most_bytes: int = LARGEST_FILE_BYTES) -> bytes:
    try:
        return read_plain(path, most_bytes)
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise PackageError(f"expected a pack, and its {path.name} cannot be read ({what})") from None
