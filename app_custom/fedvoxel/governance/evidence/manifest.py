"""What a pack holds: every file with its size and hash, and one signature over all of it."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.signature import Moment, read_versioned
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.names import Sha256

MANIFEST, SIGNATURE = "manifest.json", "signature.json"
PURPOSE = "evidence pack"
"""What a pack's signature is for."""

LARGEST_FILE_BYTES = 64 * 1024**2
MOST_FILES = 20_000

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,150}"
FileName = Annotated[str, StringConstraints(pattern=f"^((artefacts|package)/)?{_PART}$")]


class PackFile(FrozenModel):
    """Is what is known of a file's bytes."""

    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0, le=LARGEST_FILE_BYTES, strict=True)]


class PackManifest(FrozenModel):
    """Is the content of a pack's `manifest.json`.

    Attributes:
        created: When the pack was made.
        fedvoxel: The release that made it.
        files: Every file but the manifest and its signature.
    """

    schema_version: Literal[1] = 1
    run_key: str
    job_id: str
    created: Moment
    fedvoxel: str
    files: Annotated[dict[FileName, PackFile], Field(max_length=MOST_FILES)]

    @property
    def content(self) -> bytes:
        """Is the file's content."""
        return canonical_json(self.model_dump(mode="json"))


def files_of(contents: Mapping[str, bytes]) -> dict[str, PackFile]:
    """Returns what a manifest says of files."""
    return {
        name: PackFile(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        for name, content in sorted(contents.items())
    }


def read_pack_manifest(content: bytes) -> PackManifest:
    """Reads a manifest.

    Raises:
        PackageError: It is none, of a newer version, or not in its one spelling.
    """
    what = f"the pack's {MANIFEST}"
    try:
        manifest = parse_config(PackManifest, read_versioned(content, 1, what), what)
    except ConfigError as error:
        raise PackageError(str(error)) from None
    if manifest.content != content:
        raise PackageError(f"{what} is not in the spelling in which it is written")
    return manifest
