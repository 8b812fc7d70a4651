"""Segmentation and report are what the standard wants, of the right patient, and say what was found."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code
from pydicom.valuerep import DSfloat

from fedvoxel.dicom.measurement_report import report_of
from fedvoxel.dicom.result import RESEARCH, Algorithm, Concept, Finding, Interval
from fedvoxel.dicom.segmentation_object import segmentation_of
from tests.dicom.dicom_checker import errors_among, errors_in
from tests.volumes.dicom_cases import DIRECTIONS, grid_of, image_slices, label_voxels

ALGORITHM = Algorithm("hippocampus", "1.2.3", "5f" * 32, "0.1.0")
ANATOMY = Concept("SCT", "123037004", "Anatomical Structure")
HIPPOCAMPUS = Concept("SCT", "5366008", "Hippocampus")
FRONT = Finding(
    1, "anterior hippocampus", ANATOMY, HIPPOCAMPUS, Concept("SCT", "255549009", "Anterior"), (9, 200, 9), 1.5
)
NONE = Finding(
    3, "lesion", Concept("SCT", "49755003", "Morphologically Altered Structure"), HIPPOCAMPUS, None, (0, 0, 9), 0.0
)
BACK = Finding(2, "left hippocampus", ANATOMY, HIPPOCAMPUS, Concept("SCT", "7771000", "Left"), (200, 9, 9), 0.25)
FINDINGS = (FRONT, NONE, BACK)
REMARKS = ("The header names no body part of the standard; the model was made for BRAIN.",)


def patient(**more: Any) -> dict[str, Any]:
    return {"PatientName": "Doe^Jane", "PatientID": "4711", "AccessionNumber": "A1", "StudyDate": "20240131"} | more


def slices_of(direction: str = "axial", **header: Any) -> list[Dataset]:
    slices = image_slices(direction)
    for one in slices:
        for keyword, value in patient(**header).items():
            setattr(one, keyword, value)
    return slices


def written(folder: Path, slices: list[Dataset], findings: tuple[Finding, ...] = FINDINGS) -> tuple[Path, Path | None]:
    """Writes images, report and segmentation; returns the paths of the last two."""
    folder.mkdir(exist_ok=True)
    for index, one in enumerate(slices):
        one.save_as(folder / f"image-{index}.dcm", enforce_file_format=True)
    headers = [dcmread(path, stop_before_pixels=True) for path in sorted(folder.glob("image-*.dcm"))]
    label = label_voxels()
    found = any(finding.is_found for finding in findings)
    made = segmentation_of(headers, grid_of(slices).geometry, label, findings, ALGORITHM) if found else None
    report = report_of(headers, made, findings, ALGORITHM, REMARKS)
    report.save_as(folder / "report.dcm", enforce_file_format=True)
    if made is None:
        return folder / "report.dcm", None
    made.save_as(folder / "segmentation.dcm", enforce_file_format=True)
    return folder / "report.dcm", folder / "segmentation.dcm"


def values_in(report: Dataset) -> list[Any]:
    """Every value at every depth."""
    return [element.value for element in report.iterall() if element.VR != "SQ"]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_checkers_find_no_error(tmp_path: Path, direction: str) -> None:
    report, segmentation = written(tmp_path, slices_of(direction))
    assert segmentation is not None
    assert errors_in(segmentation) == [] and errors_in(report) == []
    assert errors_among(sorted(tmp_path.glob("*.dcm"))) == []


def test_the_checkers_would_find_one(tmp_path: Path) -> None:
    report, segmentation = written(tmp_path, slices_of())
    assert segmentation is not None
    damaged = dcmread(segmentation)
    del damaged.SegmentSequence[0].SegmentedPropertyTypeCodeSequence
    damaged.save_as(segmentation)
    stranger = dcmread(report)
    stranger.PatientID = "4712"
    stranger.save_as(report)
    assert errors_in(segmentation) != [] and errors_among(sorted(tmp_path.glob("*.dcm"))) != []


def test_both_are_of_the_patient_study_and_grid(tmp_path: Path) -> None:
    slices = slices_of()
    for path in written(tmp_path, slices):
        assert path is not None
        made = dcmread(path)
        for keyword in ("PatientName", "PatientID", "AccessionNumber", "StudyDate", "StudyInstanceUID"):
            assert made[keyword].value == slices[0][keyword].value
        assert made.SeriesInstanceUID != slices[0].SeriesInstanceUID and made.SeriesNumber >= 900
        assert RESEARCH in made.SeriesDescription
    assert dcmread(tmp_path / "segmentation.dcm").FrameOfReferenceUID == slices[0].FrameOfReferenceUID


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("ISO_IR 192", "王^小东"),
    ],
)
def test_a_name_in_any_script_stays_the_same(tmp_path: Path, charset: Any, name: str) -> None:
    slices = slices_of(SpecificCharacterSet=charset, PatientName=name)
    for path in written(tmp_path, slices):
        assert path is not None and str(dcmread(path).PatientName) == name
        assert errors_in(path) == []


def test_a_label_beyond_ascii_is_written_as_unicode(tmp_path: Path) -> None:
    named = tuple(replace(finding, label=f"{finding.label} ä") for finding in FINDINGS)
    report, segmentation = written(tmp_path, slices_of(), named)
    assert segmentation is not None
    assert dcmread(segmentation).SegmentSequence[0].SegmentLabel == "anterior hippocampus ä"
    assert errors_in(segmentation) == [] and errors_in(report) == []


def test_the_segmentation_says_what_and_who(tmp_path: Path) -> None:
    _, path = written(tmp_path, slices_of())
    assert path is not None
    made = hd.seg.segread(path)
    assert made.SegmentationType == "BINARY" and made.number_of_segments == 2
    first, second = made.SegmentSequence
    assert (first.SegmentLabel, second.SegmentLabel) == ("anterior hippocampus", "left hippocampus")
    kind = first.SegmentedPropertyTypeCodeSequence[0]
    assert kind.CodeValue == "5366008" and kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "255549009"
    assert first.TrackingUID == FRONT.tracking_uid and first.SegmentAlgorithmType == "AUTOMATIC"
    identified = first.SegmentationAlgorithmIdentificationSequence[0]
    assert (identified.AlgorithmName, identified.AlgorithmVersion) == ("hippocampus", "1.2.3")
    assert "5f" * 32 in str(identified.AlgorithmParameters)


def test_the_report_measures_every_structure_and_refers_to_its_segment(tmp_path: Path) -> None:
    sure = replace(FRONT, interval=Interval(1.2, 1.9, 0.9))
    report, segmentation = written(tmp_path, slices_of(), (sure, NONE, BACK))
    assert segmentation is not None and errors_in(report) == []
    read: Any = hd.sr.srread(report)
    content = read.content
    groups = content.get_volumetric_roi_measurement_groups(tracking_uid=FRONT.tracking_uid)
    (group,) = groups
    (volume,) = group.get_measurements()
    assert volume.value == 1.5 and volume.unit == Code("mL", "UCUM", "milliliter")
    referenced = [item.ReferencedSOPSequence[0] for item in group[0].ContentSequence if "ReferencedSOPSequence" in item]
    seg = dcmread(segmentation)
    assert referenced[0].ReferencedSOPInstanceUID == seg.SOPInstanceUID and referenced[0].ReferencedSegmentNumber == 1
    (missing,) = content.get_image_measurement_groups(tracking_uid=NONE.tracking_uid)
    assert missing.get_measurements()[0].value == 0
    assert "2667000" in [said.value.value for said in missing.get_qualitative_evaluations()]
    assert (read.CompletionFlag, read.VerificationFlag, read.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "PRELIMINARY",
    )


def test_an_interval_is_written_as_numbers_and_in_words(tmp_path: Path) -> None:
    sure = replace(FRONT, interval=Interval(1.2, 1.9, 0.9))
    report, _ = written(tmp_path, slices_of(), (sure, NONE, BACK))
    said = values_in(dcmread(report))
    assert any("Volume between 1.200 and 1.900 mL in 90% of cases" in str(value) for value in said)
    assert {0.4, 0.3} <= {float(value) for value in said if isinstance(value, DSfloat)}
    assert REMARKS[0] in said and "Research use only: anterior hippocampus" in said


def test_where_nothing_was_found_the_report_says_so_alone(tmp_path: Path) -> None:
    nothing = tuple(replace(finding, volume_ml=0.0) for finding in FINDINGS)
    report, segmentation = written(tmp_path, slices_of(), nothing)
    assert segmentation is None and errors_in(report) == []
    read: Any = hd.sr.srread(report)
    assert len(read.content.get_image_measurement_groups()) == 3
    assert errors_among(sorted(tmp_path.glob("*.dcm"))) == []


def test_every_prediction_has_uids_of_its_own(tmp_path: Path) -> None:
    slices = slices_of()
    first = [dcmread(path).SOPInstanceUID for path in written(tmp_path / "a", slices) if path]
    second = [dcmread(path).SOPInstanceUID for path in written(tmp_path / "b", slices) if path]
    assert not set(first) & set(second) and len({*first, *second}) == 4


def test_a_description_fits_whatever_the_name_and_ends_with_the_warning() -> None:
    long = Algorithm("a" * 60, "10.20.30", "0" * 64, "0.1.0").described("segmentation")
    assert len(long) <= 64 and long.endswith(f"10.20.30 segmentation, {RESEARCH}")
    read = replace(ALGORITHM, name="a" * 60, reader="reader-of-thirty-two-characters-")
    for what in ("segmentation", "corrected report"):
        assert len(read.described(what)) <= 64 and f"1.2.3 {what}, reader-of" in read.described(what)
        assert read.described(what).endswith(RESEARCH)
    assert ALGORITHM.device_uid.startswith("2.25.") and len(ALGORITHM.device_uid) <= 64


def test_the_label_map_is_read_by_code_not_by_order(tmp_path: Path) -> None:
    _, path = written(tmp_path, slices_of())
    assert path is not None
    made = hd.seg.segread(path)
    volume = made.get_volume(combine_segments=False)
    assert volume.array[..., 0].sum() == np.sum(label_voxels() == 1)
    assert volume.array[..., 1].sum() == np.sum(label_voxels() == 2)
