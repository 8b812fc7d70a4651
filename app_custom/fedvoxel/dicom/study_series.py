"""A hospital's own series as it is, with its patient: for results that go back under the original's name.

Only what predicts and reviews inside the hospital takes it. What trains takes a `DeidentifiedSeries` and nothing else.
"""

from dataclasses import dataclass, field

from pydicom import Dataset

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.identity import are_several, identity_of
from fedvoxel.dicom.pixels import Stored, stored_pixels
from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.series import SeriesFiles


@dataclass(frozen=True, repr=False, eq=False)
class StudySeries:
    """Is an identified series on this machine; its representation shows nothing of the patient.

    Attributes:
        files: Where it lies and whose it is.
        headers: The objects without pixels, in the order of the files.
    """

    files: SeriesFiles
    headers: tuple[Dataset, ...] = field(repr=False)

    def __repr__(self) -> str:
        return f"StudySeries({self.modality}, {len(self.headers)} objects)"

    @property
    def modality(self) -> str:
        """Returns Modality."""
        return self.files.modality

    @property
    def series_uid(self) -> str:
        """Returns SeriesInstanceUID."""
        return self.files.series_uid

    def stored_pixels(self, index: int) -> Stored:
        """Returns one object's stored values (frames, rows, columns); the file is read each time.

        Raises:
            DicomError: The file cannot be decoded.
        """
        return stored_pixels(self.files.paths[index], self.headers[index])


def read_study_series(files: SeriesFiles) -> StudySeries:
    """Reads a series' headers, all of which must be of one patient, and of the study and series that was found.

    Raises:
        DicomError: A file cannot be read, is another's by now (changed_file), or names another patient than the
            others do (mixed_patients).
    """
    with quiet():
        headers = tuple(read_header(path) for path in files.paths)
        if any(_texts(header, _UIDS) != (files.study_uid, files.series_uid) for header in headers):
            raise dicom_error("changed_file", "a file is not of the study and series that it was of before")
        numbers = {_texts(header, _NUMBER) for header in headers}
        if len(numbers) > 1 or are_several(identity_of(header) for header in headers):
            raise dicom_error("mixed_patients", "the files of one series name several patients")
    return StudySeries(files, headers)


def _texts(header: Dataset, keywords: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(header.get(keyword) or "").strip(" \0") for keyword in keywords)


_UIDS = ("StudyInstanceUID", "SeriesInstanceUID")
_NUMBER = ("PatientID", "IssuerOfPatientID")
