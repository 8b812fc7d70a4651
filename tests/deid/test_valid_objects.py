"""Cleaned objects are still what the standard wants: dciodvfy finds nothing new, and highdicom reads them."""

import re
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread, dcmwrite

from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.series import find_series
from fedvoxel.errors import DeidError
from tests.deid.opened import cleaned, only_files, policy, written
from tests.deid.scans import KINDS, base_object

_DCIODVFY = Path(sys.executable).parent / "dciodvfy"
ANY = policy(faces="kept", unnamed_patients="by_study")


def errors_of(path: Path) -> set[str]:
    """What dciodvfy finds wrong, without the values that it quotes."""
    done = subprocess.run([_DCIODVFY, path], capture_output=True, text=True, errors="replace", check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return {re.sub(r"<[0-9.]+>", "<value>", line) for line in lines if line.startswith("Error")}


@pytest.mark.parametrize("kind", KINDS)
def test_generated_objects_have_no_new_errors(kind: str, tmp_path: Path) -> None:
    dataset = base_object(kind)
    dataset.PatientID = "4711"
    (tmp_path / "raw").mkdir()
    dcmwrite(tmp_path / "raw" / "1", dataset, enforce_file_format=True)
    (content,) = written(cleaned(only_files(tmp_path / "raw")))
    (tmp_path / "clean").write_bytes(content)
    assert errors_of(tmp_path / "clean") <= errors_of(tmp_path / "raw" / "1")


@pytest.mark.parametrize(
    "folder",
    [
        "dicom_studies/hippocrop/Study1",
        "dicom_studies/prostatex",
        "dicom_studies/brain_tumour_siemens_study3",
        "dicom_studies/prostate3t",
        "dicom_seg_rt/dcmqi/segmentations/ct-3slice",
        "dicom_seg_rt/dcmqi/segmentations/24x38x3",
        "dicom_seg_rt/rt-utils",
        "dicom_seg_rt/dicompyler",
        "dicom_odd/pydicom-data",
    ],
)
def test_real_objects_have_no_new_errors(data_folder: Path, folder: str, tmp_path: Path) -> None:
    checked = 0
    for files in find_series(data_folder / folder).series:
        try:
            content = written(cleaned(files, ANY))[0]
        except DeidError as error:
            assert error.reason in ("sop_class_not_allowed", "burned_in_text")
            continue
        (tmp_path / "clean").write_bytes(content)
        if "TotalPixelMatrixRows" in dcmread(tmp_path / "clean", stop_before_pixels=True):
            continue  # segmentations of slides are not for volumes
        assert errors_of(tmp_path / "clean") <= errors_of(files.paths[0])
        checked += 1
    assert checked


@pytest.mark.parametrize("name", ["seg_image_ct_binary.dcm", "seg_image_ct_binary_overlap.dcm"])
def test_segmentations_read_as_before(data_folder: Path, name: str, tmp_path: Path) -> None:
    (path,) = (data_folder / "dicom_seg_rt").rglob(name)
    (tmp_path / "1").write_bytes(path.read_bytes())
    (content,) = written(cleaned(only_files(tmp_path), ANY, names=frozenset({"Liver"})))
    with quiet():
        before, after = hd.seg.segread(path), hd.seg.segread(BytesIO(content))
        assert after.number_of_segments == before.number_of_segments
        assert np.array_equal(after.pixel_array, before.pixel_array)
        for number in before.segment_numbers:
            was, now = (seg.get_segment_description(number) for seg in (before, after))
            assert now.segmented_property_type == was.segmented_property_type
        reference = after.get_source_image_uids()
        assert len(reference) == len(before.get_source_image_uids())
        assert not {uid for uids in reference for uid in uids} & {
            uid for uids in before.get_source_image_uids() for uid in uids
        }


def test_structure_sets_keep_their_contours(data_folder: Path, tmp_path: Path) -> None:
    checked = 0
    for files in find_series(data_folder / "dicom_seg_rt" / "dicompyler").series:
        if files.modality != "RTSTRUCT":
            continue
        original = dcmread(files.paths[0])
        clean = cleaned(files, ANY).headers[0]
        for was, now in zip(original.ROIContourSequence, clean.ROIContourSequence, strict=True):
            for one, other in zip(was.get("ContourSequence", ()), now.get("ContourSequence", ()), strict=True):
                assert list(map(float, one.ContourData)) == list(map(float, other.ContourData))
                checked += 1
        labels = {item.ROIName for item in clean.StructureSetROISequence}
        assert all(re.fullmatch(r"segment \d+", label) for label in labels)
        assert len(labels) == len(clean.StructureSetROISequence)
    assert checked


@pytest.mark.parametrize("folder", ["hostile_text", "full_of_identifiers"])
def test_hostile_and_named_files_keep_nothing(data_folder: Path, folder: str, tmp_path: Path) -> None:
    """Every text of the files is searched for, not only what somebody listed."""
    source = data_folder / "dicom_odd" / "made_from_hippocrop" / folder
    if not source.is_dir():
        pytest.skip(f"the development scans have no {folder}")
    for files in find_series(source).series:
        texts = {text for path in files.paths for text in _texts(path)}
        assert len(texts) > 3
        chosen = policy(faces="kept", unnamed_patients="by_study")
        for content in _written_or_refused(lambda files=files, chosen=chosen: written(cleaned(files, chosen))):
            assert not [text for text in texts if text.encode() in content]


def _written_or_refused(write: Callable[[], list[bytes]]) -> list[bytes]:
    try:
        return write()
    except DeidError as error:
        assert error.reason in ("burned_in_text", "sop_class_not_allowed")
        return []


def _texts(path: Path) -> set[str]:
    """The values of free text, names and identifiers in a file, of at least four characters."""
    free = {"LO", "LT", "SH", "ST", "UT", "UC", "UR", "PN", "AE"}
    found = set()
    with quiet():
        for element in dcmread(path, force=True).iterall():
            if element.VR in free and element.keyword not in ("CodeMeaning", "CodingSchemeDesignator", "CodeValue"):
                values = element.value if element.VM > 1 else [element.value]
                found |= {str(value) for value in values if len(str(value)) >= 4}
    return found - {"SIEMENS", "STANDARD"}
