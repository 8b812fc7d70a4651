"""What a tracker is told of the package that was exported of a run: its model card, and which package it is."""

from fedvoxel.errors import PackageError
from fedvoxel.export.model_card import MODEL_CARD
from fedvoxel.export.origin import PROVENANCE, read_model_origin
from fedvoxel.export.package import Package

CARD_FILE = "model_card.md"


def card_and_tags(package: Package, run_key: str) -> tuple[dict[str, bytes], dict[str, str]]:
    """Returns the files and tags that a package adds to its run.

    Raises:
        PackageError: It is of another run, does not say of which, or has no model card.
    """
    missing = [name for name in (PROVENANCE, MODEL_CARD) if name not in package.names]
    if missing:
        raise PackageError(f"the package has no {' and no '.join(missing)}; export it with `fedvoxel export`")
    origin = read_model_origin(package.member(PROVENANCE))
    if origin.run_key != run_key:
        raise PackageError(f"the package is of run {origin.run_key}, not of {run_key}")
    said = package.description
    tags = {"package": f"{said.name} {said.version}", "package_sha256": package.sha256}
    return {CARD_FILE: package.member(MODEL_CARD)}, tags
