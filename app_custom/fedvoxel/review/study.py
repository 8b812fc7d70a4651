"""The folder of a study: how it is read, and one folder for each reader and case, which no other reader writes to.

    study.json
    readers/READER/CASE/events/      what the reader did, a chain (`records.chain`)
    readers/READER/CASE/corrected-N.nii.gz

A folder belongs to one reading: it is not opened for another, nor with other settings.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from fedvoxel.config import FrozenModel, load_json_config, parse_config
from fedvoxel.errors import ReviewError
from fedvoxel.evaluation.cohorts.private_folder import OWNER_ONLY_FILE, private_folder
from fedvoxel.evaluation.reading.blinding import letters_of, reading_order
from fedvoxel.evaluation.reading.finished import STUDY_FILE
from fedvoxel.export.description import Structure
from fedvoxel.records.atomic import write_json
from fedvoxel.records.canonical import sha256_of
from fedvoxel.records.names import Sha256
from fedvoxel.review.reading import Reading

ReaderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]


class StudySettings(FrozenModel):
    """Is the content of `study.json`.

    Attributes:
        title: What is read.
        reading: The reading's identity.
        readers: Who reads.
        blinded: Whether readers see candidates as A and B, in an order of the seed's, and cannot change an answer.
        seed: For the order and the letters.
        structures: What the label maps mark.
        cases: The cases with their candidates.
        package: Identity of the package that made the candidate "model", if one did.
        images: Identity of what the package was used on; None without one.
    """

    schema_version: Literal[1] = 1
    title: str
    reading: str
    readers: Annotated[tuple[ReaderName, ...], Field(min_length=1, max_length=20)]
    blinded: bool
    seed: int
    structures: tuple[Structure, ...]
    cases: dict[str, tuple[str, ...]]
    package: Sha256 | None = None
    images: str | None = None

    @model_validator(mode="after")
    def _is_of_its_package(self) -> Self:
        if self.package is not None and self.reading != identity_of(self.package, self.images or ""):
            raise ValueError("the package is not the one that was read")
        return self


class Study:
    """Is a study on disk.

    Attributes:
        settings: How it is read.
        folder: Where it is.
    """

    def __init__(self, settings: StudySettings, folder: Path) -> None:
        """Touches no file."""
        self.settings, self.folder = settings, folder

    def order(self, reader: str) -> tuple[str, ...]:
        """Returns the cases as `reader` gets them: shuffled if blinded, else as they are listed."""
        if self.settings.blinded:
            return reading_order(tuple(self.settings.cases), self.settings.seed, reader)
        return tuple(self.settings.cases)

    def shown_candidates(self, case: str) -> dict[str, str]:
        """Returns what each candidate of a case is called on the page, and which it is."""
        candidates = self.settings.cases[case]
        if self.settings.blinded:
            return letters_of(candidates, self.settings.seed, case)
        return {candidate: candidate for candidate in candidates}

    def case_folder(self, reader: str, case: str) -> Path:
        """Returns the folder that only `reader`'s work on `case` is in."""
        return self.folder / "readers" / reader / case


def identity_of(package: str, images: str) -> str:
    """Returns the identity of the reading of what a package found in some images.

    Args:
        package: The package's.
        images: That of what it was used on.
    """
    return sha256_of([package, images])


def settings_of(reading: Reading, readers: tuple[str, ...], blinded: bool, seed: int) -> StudySettings:
    """Returns the settings of a study of `reading`.

    Raises:
        ReviewError: Two readers bear one name.
        ConfigError: A reader's name is no short name of small letters, digits and hyphens.
    """
    if len(set(readers)) != len(readers):
        raise ReviewError("expected readers of different names, got one twice")
    values = {
        "title": reading.title,
        "reading": reading.identity,
        "readers": readers,
        "blinded": blinded,
        "seed": seed,
        "structures": reading.structures,
        "cases": {case.case: case.candidates for case in reading.cases},
        "package": reading.package,
        "images": reading.images,
    }
    return parse_config(StudySettings, values, "the study")


def open_study(folder: Path, settings: StudySettings) -> Study:
    """Opens the folder, or makes it.

    Raises:
        ReviewError: It belongs to another reading, or is read with other settings.
        CohortError: It cannot be made, or others may enter it.
        ConfigError: Its `study.json` cannot be read.
    """
    private_folder(folder)
    if (folder / STUDY_FILE).exists():
        kept = load_json_config(StudySettings, folder / STUDY_FILE, "the study's file")
        _require_same(kept, settings)
    else:
        write_json(folder / STUDY_FILE, settings.model_dump(mode="json"), OWNER_ONLY_FILE)
    return Study(settings, folder)


def load_study(folder: Path) -> Study:
    """Opens a folder that is there.

    Raises:
        ConfigError: It has no `study.json`, or a wrong one.
    """
    return Study(load_json_config(StudySettings, folder / STUDY_FILE, "the study's file"), folder)


def _require_same(kept: StudySettings, asked: StudySettings) -> None:
    # Of which package it is the reading's identity says, also where the folder is of a version that said no more.
    names = set(StudySettings.model_fields) - {"package", "images"}
    other = [name for name in sorted(names) if getattr(kept, name) != getattr(asked, name)]
    if other:
        raise ReviewError(
            f"this folder keeps a study with other settings ({', '.join(other)}): go on with the same readers, seed "
            "and cases, or name another folder with --out"
        )
