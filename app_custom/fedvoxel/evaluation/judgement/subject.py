"""The cases that a model is judged on: a site's cohort, or pairs of files beside any cohort."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import CohortError, GeometryError
from fedvoxel.evaluation.cohorts.known_facts import known_facts
from fedvoxel.volumes.exclusions import admitted_cases
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.nifti import read_label, read_labelled_volume
from fedvoxel.volumes.sidecar import Sidecar
from fedvoxel.volumes.site import SITE_FILE, CohortConfig, SiteConfig, load_site_config
from fedvoxel.volumes.sources import CsvSource
from fedvoxel.volumes.split import Split, split_of
from fedvoxel.volumes.volume import LabelledVolume, Volume

Label = NDArray[np.uint8]
_LOCAL = "local"


@dataclass(frozen=True)
class Subject:
    """Is one case, by pseudonyms.

    Attributes:
        case: The case.
        patient: The patient, who may have several cases.
        hospital: The site.
        known: What its sidecar says.
        read: Reads image and truth; raises GeometryError, whose message holds no path.
        second: Reads a second reader's label on the image's voxels; None where there is no second reader.
    """

    case: str
    patient: str
    hospital: str
    known: Sidecar = field(repr=False)
    read: Callable[[], LabelledVolume] = field(repr=False)
    second: Callable[[Volume], Label] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Asked:
    """Says which cases are wanted.

    Attributes:
        cohort: The cohort's name, the same at all sites.
        split: Which patients; None for all.
        structures: The model's structures: classes of the cohort.
        reader: A second reader: another cohort's name, or a folder of labels named as the cases are; None for none.
    """

    cohort: str
    split: Split | None
    structures: tuple[str, ...]
    reader: str | None = None


@dataclass(frozen=True)
class Subjects:
    """Holds what was listed.

    Attributes:
        cases: By hospital and pseudonym.
        patients_named: Whether the lists name the patients; else each case stands for one of its own.
    """

    cases: tuple[Subject, ...]
    patients_named: bool


def hospital_of(site_file: Path) -> str:
    """Returns the name of the kit that a site's own file lies in."""
    folder = site_file.resolve().parent
    return (folder.parent if folder.name == _LOCAL else folder).name or SITE_FILE


def cohort_subjects(site_files: Sequence[Path], asked: Asked) -> Subjects:
    """Lists the cases of a cohort at one site or several.

    Raises:
        ConfigError: A site's file cannot be used.
        CohortError: A site has no such cohort, the cohort lacks a structure, a list cannot be used, no case is of the
            split, or two sites have one name.
    """
    names = [hospital_of(path) for path in site_files]
    if len(set(names)) != len(names):
        raise CohortError("two of the site files are in folders of the same name, which stands for the hospital")
    listed = [_site_subjects(path, name, asked) for path, name in zip(site_files, names, strict=True)]
    cases = tuple(case for subjects in listed for case in subjects.cases)
    if not cases:
        wanted = "case" if asked.split is None else f"case of the {asked.split} split"
        raise CohortError(f"the cohort has no {wanted}; choose another with --split")
    return Subjects(cases, all(subjects.patients_named for subjects in listed))


def _site_subjects(site_file: Path, hospital: str, asked: Asked) -> Subjects:
    site, base = load_site_config(site_file), site_file.parent
    cohort = site.cohort(asked.cohort)
    classes = cohort.classes_for(asked.structures)
    listed = admitted_cases(site, cohort, base)
    known = known_facts(cohort, base, listed)
    reader = _Reader.of(site, base, asked)
    chosen = [files for files in listed if asked.split in (None, split_of(files.patient, cohort.split))]
    cases = []
    for files in chosen:
        name = files.case_pseudonym(site)
        read = partial(read_labelled_volume, files, cohort, classes, name, may_be_empty=True)
        second = None if reader is None else partial(reader.label, files.case, name)
        cases.append(Subject(name, files.patient_pseudonym(site), hospital, known[files.case], read, second))
    return Subjects(tuple(sorted(cases, key=lambda one: one.case)), all(files.patient_named for files in listed))


@dataclass(frozen=True)
class _Reader:
    """Is where a second reader's labels are."""

    cohort: CohortConfig
    classes: tuple[str, ...]
    labels: dict[str, CaseFiles]

    @classmethod
    def of(cls, site: SiteConfig, base: Path, asked: Asked) -> "_Reader | None":
        if asked.reader is None:
            return None
        if asked.reader in site.cohorts:
            cohort = site.cohort(asked.reader)
            listed = {files.case: files for files in admitted_cases(site, cohort, base) if files.problem is None}
            return cls(cohort, cohort.classes_for(asked.structures), listed)
        folder, cohort = Path(asked.reader), site.cohort(asked.cohort)
        if not folder.is_dir():
            raise CohortError("--reader is neither a cohort of the site's file nor a folder of labels")
        if not cohort.classes:
            raise CohortError("a bids cohort has one mask a class: describe the second reader's labels as a cohort too")
        found = {name: _files(name, None, path) for name, path in nifti_files(folder).items()}
        return cls(cohort, cohort.classes_for(asked.structures), found)

    def label(self, case: str, name: str, image: Volume) -> Label:
        files = self.labels.get(case)
        if files is None or not files.label:
            raise GeometryError("missing_label", f"{name}: the second reader has no label of it")
        try:
            return read_label(files.label, self.cohort, self.classes, image)
        except GeometryError as error:
            raise GeometryError(error.reason, f"{name}: second reader: {error}") from None


def paired_subjects(images: Path, labels: Path, structures: tuple[str, ...]) -> Subjects:
    """Lists the images of a folder that have a label of the same name in another; each is its own patient.

    Labels hold the model's own codes: 1 for its first structure. Cases are numbered in the order of their names, as
    names of files may tell who somebody is.

    Raises:
        CohortError: A folder is missing, or no two files make a pair.
    """
    if not images.is_dir() or not labels.is_dir():
        raise CohortError("expected two folders of NIfTI files: --images and --labels")
    first, second = nifti_files(images), nifti_files(labels)
    names = sorted(set(first) & set(second))
    if not names:
        raise CohortError("no image has a label of the same name; name the label of scan7.nii.gz scan7.nii.gz too")
    codes = {name: 1 + index for index, name in enumerate(structures)}
    # Nothing is read from its table: it only carries the codes.
    cohort = CohortConfig(source=CsvSource(layout="csv", table="pairs.csv"), classes=codes)
    cases = []
    for number, name in enumerate(names, start=1):
        case = f"case-{number:0{len(str(len(names)))}d}"
        files = _files(case, first[name], second[name])
        read = partial(read_labelled_volume, files, cohort, structures, case, may_be_empty=True)
        cases.append(Subject(case, case, images.resolve().name, {}, read))
    return Subjects(tuple(cases), patients_named=False)


def nifti_files(folder: Path) -> dict[str, Path]:
    """Returns the NIfTI files of a folder by their names without ending.

    Raises:
        CohortError: The folder cannot be read.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise CohortError(f"a folder of images or labels cannot be read: {error.strerror}") from None
    found = {}
    for path in paths:
        for end in (".nii.gz", ".nii"):
            if path.name.lower().endswith(end):
                found[path.name[: -len(end)]] = path
                break
    return found


def _files(case: str, image: Path | None, label: Path) -> CaseFiles:
    return CaseFiles(case, case, image, (label,))
