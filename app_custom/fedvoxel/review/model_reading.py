"""A reading of a model's results: a signed package on a folder of images or studies, a site's cohort, or a reading."""

import secrets
from pathlib import Path

from fedvoxel.errors import ReviewError
from fedvoxel.evaluation.inference.model import Model
from fedvoxel.records.atomic import write_text
from fedvoxel.records.canonical import sha256_of
from fedvoxel.review.image_sources import images_in
from fedvoxel.review.model_case import ModelCase
from fedvoxel.review.reading import MODEL, Reading
from fedvoxel.review.reading_folder import READING_FILE, open_reading_folder
from fedvoxel.review.site_reading import open_site_cohort
from fedvoxel.review.study import identity_of
from fedvoxel.volumes.site import SiteConfig

KEY_FILE = "pseudonym.key"
"""The key of a study folder's pseudonyms, which never leaves the hospital."""


def open_model_reading(model: Model, base: Reading, folder: Path) -> tuple[Reading, tuple[ModelCase, ...]]:
    """Puts a model's label maps beside those of another reading.

    Args:
        model: The model.
        base: What it is used on.
        folder: The study's folder, where predictions are kept.

    Returns:
        The reading, and its cases for the model to be used on.

    Raises:
        ReviewError: The reading is of other structures, or has a label map that is called like the model's.
    """
    structures = model.package.description.structures
    if [one.name for one in base.structures] != [one.name for one in structures]:
        raise ReviewError("the cohort's label maps are of other structures than the model's, or in another order")
    if any(MODEL in case.candidates for case in base.cases):
        raise ReviewError(f"the cohort has a label map that is called {MODEL} already; give it another name")
    package = model.package
    kept = folder / "predicted" / package.sha256[:16]
    cases = tuple(ModelCase(case, kept / case.case, len(structures)) for case in base.cases)
    title = f"{package.description.title} {package.description.version}"
    identity = identity_of(package.sha256, base.identity)
    made = Reading(
        title,
        structures,
        cases,
        identity,
        base.presets,
        model.algorithm,
        package=package.sha256,
        images=base.identity,
    )
    return made, cases


def images_reading(model: Model, images: Path, folder: Path, series: int | None = None) -> Reading:
    """Returns a reading of bare images; its pseudonyms' key is kept in the study's folder.

    Raises:
        FedVoxelError: There are none, or they cannot be used.
    """
    description = model.package.description
    found = images_in(images, description.input, _key_of(folder), series)
    identity = sha256_of([case.case for case in found])
    return Reading(description.title, description.structures, tuple(found), identity)


def base_reading(
    model: Model, cohort: str, folder: Path, site: tuple[SiteConfig, Path] | None, series: int | None
) -> Reading:
    """Returns what a model is used on: a site's cohort, a prepared reading, or a folder of images or studies.

    Raises:
        FedVoxelError: There is no such thing, or it cannot be used.
    """
    if site is not None:
        names = tuple(structure.name for structure in model.package.description.structures)
        return open_site_cohort(site[0], cohort, site[1], names)
    if (Path(cohort) / READING_FILE).is_file():
        return open_reading_folder(Path(cohort))
    return images_reading(model, Path(cohort), folder, series)


def _key_of(folder: Path) -> str:
    path = folder / KEY_FILE
    if not path.is_file():
        write_text(path, secrets.token_hex(32) + "\n", 0o600)
    return path.read_text(encoding="ascii").strip()
