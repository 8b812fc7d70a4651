"""What a package holds: its members by name, each with its size and hash. Its own hash is the package's identity."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.description import DESCRIPTION, ModelDescription, Version
from fedvoxel.export.signature import Moment, read_versioned
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.names import ModelName, Sha256

MANIFEST, SIGNATURE = "manifest.json", "signature.json"
ONNX, CALIBRATION = "model.onnx", "calibration.json"
SUFFIX = ".fvpkg"

ONNX_OPSET = 18
"""The version of ONNX's operators; every runtime since 2023 knows it."""

ONNX_INPUT, ONNX_OUTPUT = "image", "logits"
"""What ONNX calls the prepared images, float32 (N, 1, X, Y, Z), and the logits, float32 (N, C, X, Y, Z)."""

SCHEMA_VERSION = 1
LARGEST_MANIFEST_BYTES = 1024**2
LARGEST_PACKAGE_BYTES = 2 * 1024**3
LARGEST_TEXT_BYTES = 16 * 1024**2
MOST_MEMBERS = 500

_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}"
_FILES = r"model\.json|calibration\.json|provenance\.json|sbom\.cdx\.json|model\.onnx(\.data)?"
MEMBER = rf"({_FILES}|(bundle|docs)(/{_PART}){{1,5}})"
"""What a member may be called: one of the files that this version knows, never a path that leads elsewhere."""

MemberName = Annotated[str, StringConstraints(pattern=f"^{MEMBER}$")]


class Member(FrozenModel):
    """Is what is known of a member's bytes."""

    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0, le=LARGEST_PACKAGE_BYTES, strict=True)]


class Manifest(FrozenModel):
    """Is the content of `manifest.json`.

    Attributes:
        name: The model's.
        version: The model's.
        created: When the package was made.
        members: Every file but the manifest and its signature.
    """

    schema_version: Literal[1] = 1
    name: ModelName
    version: Version
    created: Moment
    members: Annotated[dict[MemberName, Member], Field(max_length=MOST_MEMBERS)]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        missing = [name for name in (DESCRIPTION, ONNX) if name not in self.members]
        if missing:
            raise ValueError(f"no {' and no '.join(missing)}")
        if len({name.lower() for name in self.members}) < len(self.members):
            raise ValueError("two members differ in upper and lower case only")
        if sum(member.size_bytes for member in self.members.values()) > LARGEST_PACKAGE_BYTES:
            raise ValueError(f"more than {LARGEST_PACKAGE_BYTES} bytes in all")
        return self

    @property
    def content(self) -> bytes:
        """Is the file's content."""
        return canonical_json(self.model_dump(mode="json"))

    def fits(self, description: ModelDescription) -> bool:
        """Says whether a description is of this model."""
        return (self.name, self.version) == (description.name, description.version)


def file_name(name: str, version: str) -> str:
    """Returns what a package's file is called."""
    return f"{name}-{version}{SUFFIX}"


def read_manifest(content: bytes) -> Manifest:
    """Reads a manifest.

    Raises:
        PackageError: It is none, of a newer version, or not in its one spelling.
    """
    values = read_versioned(content, SCHEMA_VERSION, MANIFEST)
    try:
        manifest = parse_config(Manifest, values, f"the package's {MANIFEST}")
    except ConfigError as error:
        raise PackageError(str(error)) from None
    if manifest.content != content:
        raise PackageError(f"{MANIFEST} is not in the spelling in which it is written")
    return manifest
