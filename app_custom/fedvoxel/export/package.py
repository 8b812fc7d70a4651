"""A model as one signed file, `NAME-VERSION.fvpkg`: a ZIP that is read and checked where it lies, and never unpacked.

Opening checks the signature and then every member against the signed manifest, in pieces, so that a package needs
little memory. `Package.member` checks once more the bytes that it hands out, so that a file that changes meanwhile
gives nothing.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.archive import Archive, archive_bytes, open_archive
from fedvoxel.export.description import DESCRIPTION, ModelDescription
from fedvoxel.export.manifest import (
    CALIBRATION,
    LARGEST_MANIFEST_BYTES,
    LARGEST_PACKAGE_BYTES,
    LARGEST_TEXT_BYTES,
    MANIFEST,
    MOST_MEMBERS,
    SIGNATURE,
    Manifest,
    Member,
    file_name,
    read_manifest,
)
from fedvoxel.export.signature import LARGEST_BYTES, moment, read_object, read_signature, read_versioned, sign, verify
from fedvoxel.export.trust import Signer, Trust
from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.identity import Identity

PURPOSE = "package"
"""What a package's signature is for."""

_NEWEST_DESCRIPTION = 1


@dataclass(frozen=True)
class Package:
    """Is a package that was checked; `open_package` makes it.

    Attributes:
        path: The file.
        manifest: What it holds.
        sha256: Its identity: the SHA-256 of the manifest's bytes.
        signed_by: Who signed it.
        signed_at: When, as the signer says.
        description: What it says of the model.
        calibration: What it says of confidence, as JSON; None where it says nothing.
    """

    path: Path
    manifest: Manifest
    sha256: str
    signed_by: Signer
    signed_at: datetime
    description: ModelDescription
    calibration: dict[str, Any] | None

    @property
    def names(self) -> tuple[str, ...]:
        """Are the names of the members, in order."""
        return tuple(sorted(self.manifest.members))

    def member(self, name: str) -> bytes:
        """Returns a member's bytes, those that were signed.

        Raises:
            PackageError: There is no such member, or the file is no longer what it was.
        """
        if name not in self.manifest.members:
            raise PackageError(f"the package of {self.manifest.name} has no {name}")
        with open_archive(self.path, MOST_MEMBERS, LARGEST_PACKAGE_BYTES) as archive:
            return b"".join(_signed_pieces(archive, name, self.manifest.members[name]))


def open_package(path: Path, trust: Trust, now: datetime | None = None) -> Package:
    """Opens a package, if all of it is what a person or a site of the consortium signed.

    Args:
        path: The file.
        trust: Whose signature counts.
        now: The present (aware); the clock's when None.

    Raises:
        PackageError: It is not whole, not signed by one who could, of a newer version, or more than it should be.
        ConsortiumError: The revocation list is out of date.
    """
    now = now or datetime.now(UTC)
    with open_archive(path, MOST_MEMBERS, LARGEST_PACKAGE_BYTES) as archive:
        content = archive.read(MANIFEST, LARGEST_MANIFEST_BYTES)
        manifest = read_manifest(content)
        signature = read_signature(archive.read(SIGNATURE, LARGEST_BYTES), f"the package's {SIGNATURE}")
        signer = verify(signature, PURPOSE, content, trust, now)
        _check_names(archive, manifest)
        _check_members(archive, manifest)
        description = _description(archive, manifest)
        calibration = _calibration(archive, manifest)
    sha256 = hashlib.sha256(content).hexdigest()
    return Package(path, manifest, sha256, signer, signature.at, description, calibration)


def write_package(
    folder: Path, description: ModelDescription, members: Mapping[str, bytes], identity: Identity, now: datetime
) -> Package:
    """Writes a package into a folder, atomically, and opens it as a reader would.

    Args:
        folder: Where it goes, as `NAME-VERSION.fvpkg`.
        description: The model's; becomes `model.json`.
        members: Everything else by name; at least `model.onnx`.
        identity: Who signs.
        now: The present (aware).

    Raises:
        PackageError: A member has no name that packages know, the whole is too large or cannot be written, or the
            signer is not one whose signature counts.
        ConsortiumError: The signer's root is no certificate authority.
    """
    contents = {**members, DESCRIPTION: canonical_json(description.model_dump(mode="json"))}
    known = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
        for name, content in contents.items()
    }
    values = {"name": description.name, "version": description.version, "created": moment(now), "members": known}
    try:
        manifest = parse_config(Manifest, values, "the package")
    except ConfigError as error:
        raise PackageError(str(error)) from None
    signature = sign(identity, PURPOSE, manifest.content, now)
    trust = Trust(identity.root)
    verify(signature, PURPOSE, manifest.content, trust, now)
    first = {MANIFEST: manifest.content, SIGNATURE: canonical_json(signature.model_dump(mode="json"))}
    path = folder / file_name(description.name, description.version)
    try:
        write_bytes(path, archive_bytes(first | {name: contents[name] for name in sorted(contents)}))
    except OSError as error:
        raise PackageError(f"{path.name} cannot be written ({error.strerror or type(error).__name__})") from None
    return open_package(path, trust, now)


def _check_names(archive: Archive, manifest: Manifest) -> None:
    expected = {MANIFEST, SIGNATURE, *manifest.members}
    extra, missing = sorted(archive.names - expected), sorted(expected - archive.names)
    if extra:
        raise PackageError(f"the package holds {len(extra)} files that were not signed, first {extra[0][:80]!r}")
    if missing:
        raise PackageError(f"the package lacks {len(missing)} of the files that were signed, first {missing[0]}")


def _check_members(archive: Archive, manifest: Manifest) -> None:
    for name, member in manifest.members.items():
        for _ in _signed_pieces(archive, name, member):
            pass


def _signed_pieces(archive: Archive, name: str, member: Member) -> Iterator[bytes]:
    found = hashlib.sha256()
    for piece in archive.pieces(name, member.size_bytes):
        found.update(piece)
        yield piece
    if found.hexdigest() != member.sha256:
        raise PackageError(f"{name} is not what was signed; fetch the package again")


def _text(archive: Archive, name: str, manifest: Manifest) -> bytes:
    member = manifest.members[name]
    if member.size_bytes > LARGEST_TEXT_BYTES:
        raise PackageError(f"{name} has {member.size_bytes} bytes; at most {LARGEST_TEXT_BYTES} are read")
    return b"".join(_signed_pieces(archive, name, member))


def _description(archive: Archive, manifest: Manifest) -> ModelDescription:
    what = f"the package's {DESCRIPTION}"
    values = read_versioned(_text(archive, DESCRIPTION, manifest), _NEWEST_DESCRIPTION, what)
    try:
        description = parse_config(ModelDescription, values, what)
    except ConfigError as error:
        raise PackageError(str(error)) from None
    if not manifest.fits(description):
        raise PackageError(f"{DESCRIPTION} is of another model or version than {MANIFEST}")
    return description


def _calibration(archive: Archive, manifest: Manifest) -> dict[str, Any] | None:
    if CALIBRATION not in manifest.members:
        return None
    return read_object(_text(archive, CALIBRATION, manifest), f"the package's {CALIBRATION}")
