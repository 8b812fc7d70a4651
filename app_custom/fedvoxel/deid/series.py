"""The one door by which a series leaves the room of patients: `deidentify_series`.

A `DeidentifiedSeries` can be made in no other way, and it exists only after the cleaned objects were searched for
what had to go. Later stations take nothing else.
"""

from collections.abc import Sequence
from dataclasses import InitVar, dataclass
from functools import partial

from pydicom import Dataset

from fedvoxel.deid.admission import DRAWN, identity_of, kind_of, text_regions_of
from fedvoxel.deid.engine import clean_dataset
from fedvoxel.deid.faces import check_faces
from fedvoxel.deid.keys import DeidKeys
from fedvoxel.deid.marking import mark
from fedvoxel.deid.pixels import CleanPixels, Stored
from fedvoxel.deid.policy import DeidPolicy
from fedvoxel.deid.residual import check_nothing_left
from fedvoxel.deid.subject import Subject, subject_of
from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.series import SeriesFiles

_DOOR = object()


@dataclass(frozen=True, repr=False, eq=False)
class DeidentifiedSeries:
    """Is a series without its patient.

    Attributes:
        patient: The patient's pseudonym, the same in all of the project's series at this site.
        study_uid: The new StudyInstanceUID.
        series_uid: The new SeriesInstanceUID.
        modality: Modality.
        headers: The cleaned objects without pixels, in the order of the files.
    """

    patient: str
    study_uid: str
    series_uid: str
    modality: str
    headers: tuple[Dataset, ...]
    _pixels: tuple[CleanPixels, ...]
    _door: InitVar[object]

    def __post_init__(self, _door: object) -> None:
        """Refuses to be made anywhere else."""
        if _door is not _DOOR:
            raise TypeError("a DeidentifiedSeries is made by deidentify_series only")

    def __repr__(self) -> str:
        return f"DeidentifiedSeries({self.modality}, {len(self.headers)} objects)"

    def stored_pixels(self, index: int) -> Stored:
        """Returns one object's stored values (frames, rows, columns), with the policy's regions made black.

        The original file is read each time, and nothing of it is kept.

        Raises:
            DicomError: The file cannot be decoded.
            DeidError: The pixels hold more than the image's own bits.
        """
        return self._pixels[index].read()

    def dataset(self, index: int) -> Dataset:
        """Returns one complete cleaned object, to be written in Explicit VR Little Endian.

        Raises:
            DicomError: The file cannot be decoded.
            DeidError: The pixels hold more than the image's own bits.
        """
        return self._pixels[index].with_pixels(self.headers[index])


def deidentify_series(
    files: SeriesFiles, headers: Sequence[Dataset], policy: DeidPolicy, keys: DeidKeys, names: frozenset[str]
) -> DeidentifiedSeries:
    """De-identifies a series.

    Args:
        files: The series' files.
        headers: Their headers without pixels, in the same order.
        policy: What was chosen for the cohort.
        keys: The project's keys.
        names: The names and codes ("SCT|10200004") of segments and structures that the cohort's configuration itself
            holds, and that may therefore stay; any other becomes "segment" and its number.

    Raises:
        DeidError: The series may not, or cannot, be de-identified; the message says nothing of the patient.
        DicomError: A file cannot be read.

    Source: DICOM PS3.15 Annex E.
    """
    with quiet():
        identity = identity_of(files, headers, policy)
        subject = subject_of(identity, policy, keys, names)
        images = [header for header in headers if kind_of(header, policy) not in DRAWN]
        check_faces(images, policy)
        made = [_clean_object(header, subject) for header in headers]
        check_nothing_left(headers, [clean for clean, _ in made], subject)
        pixels = [pixels(path) for (_, pixels), path in zip(made, files.paths, strict=True)]
    first = made[0][0]
    return DeidentifiedSeries(
        patient=subject.pseudonym,
        study_uid=str(first.StudyInstanceUID),
        series_uid=str(first.SeriesInstanceUID),
        modality=str(first.get("Modality", "")),
        headers=tuple(clean for clean, _ in made),
        _pixels=tuple(pixels),
        _door=_DOOR,
    )


def _clean_object(header: Dataset, subject: Subject) -> "tuple[Dataset, partial[CleanPixels]]":
    kind = kind_of(header, subject.policy)
    text = text_regions_of(header, kind, subject.policy)
    clean = clean_dataset(header, subject)
    mark(clean, subject, masked=text is not None)
    return clean, partial(CleanPixels.of, original=header, text=text)
