"""What a file that is to be sent says of itself: which object of whose study it is; nothing of it is shown."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.tag import Tag
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.result import MANUFACTURER
from fedvoxel.dicom.stream import opened

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_KEYWORDS = (*_UIDS, "Modality", "Manufacturer", "PatientID", "IssuerOfPatientID")
_TAGS = tuple(int(Tag(keyword)) for keyword in _KEYWORDS)
_MODALITY = re.compile(r"[A-Z0-9_]{1,16}")
_RESULTS = frozenset({SegmentationStorage, Comprehensive3DSRStorage})


@dataclass(frozen=True)
class Outgoing:
    """Is an object that is to be sent; its representation shows nothing of the patient.

    Attributes:
        modality: Modality, "unknown" where it is none of the standard's form.
        is_result: Whether it is a segmentation or report that this software made.
        patient_id: PatientID, "" where there is none.
        issuer: IssuerOfPatientID, likewise.
    """

    modality: str
    is_result: bool
    instance_uid: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    patient_id: str = field(repr=False)
    issuer: str = field(repr=False)

    @property
    def patient(self) -> tuple[str, ...]:
        """Returns what tells its patient from others; one without a number is nobody else."""
        return (self.issuer, self.patient_id) if self.patient_id else ("", "", self.study_uid)


def read_outgoing(paths: Sequence[Path]) -> list[Outgoing]:
    """Returns what files say, in their order.

    Raises:
        DicomError: One cannot be read.
    """
    with quiet():
        return [_read(path) for path in paths]


def _read(path: Path) -> Outgoing:
    with opened(path, _TAGS) as file:
        said = {keyword: str(file.header.get(keyword) or "").strip(" \0") for keyword in _KEYWORDS}
    return Outgoing(
        modality=said["Modality"] if _MODALITY.fullmatch(said["Modality"]) else "unknown",
        is_result=said["SOPClassUID"] in _RESULTS and said["Manufacturer"] == MANUFACTURER,
        instance_uid=said["SOPInstanceUID"],
        study_uid=said["StudyInstanceUID"],
        series_uid=said["SeriesInstanceUID"],
        patient_id=said["PatientID"],
        issuer=said["IssuerOfPatientID"],
    )
