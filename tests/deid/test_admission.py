"""Which series may pass at all: their kind, their patient, text in their pixels, faces."""

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.sequence import Sequence

from fedvoxel.deid.faults import REASONS, REMEDIES
from fedvoxel.errors import DeidError
from tests.deid.opened import cleaned, only_files, policy, written
from tests.deid.scans import base_object, code

WHOLE = [{"top": 0, "left": 0, "bottom": 2, "right": 8}]
DEVICE = {"manufacturer": "SIEMENS", "model": "Writer", "rows": 8, "columns": 8, "regions": WHOLE}


def scan(folder: Path, kind: str = "CT", **changed: Any) -> Dataset:
    dataset = base_object(kind)
    dataset.PatientID = "4711"
    for keyword, value in changed.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    dcmwrite(folder / "1", dataset, enforce_file_format=True)
    return dataset


def reason(folder: Path, **chosen: Any) -> str:
    with pytest.raises(DeidError) as caught:
        cleaned(only_files(folder), policy(**chosen))
    assert caught.value.reason in REASONS and REMEDIES[caught.value.reason] in str(caught.value)
    assert "4711" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"BurnedInAnnotation": "YES"}, "burned_in_text"),
        ({"BurnedInAnnotation": "MAYBE"}, "burned_in_text"),
        ({"BurnedInAnnotation": ["NO", "YES"]}, "burned_in_text"),
        ({"PatientID": ["4711", "4712"]}, "unnamed_patient"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "burned_in_text"),
        ({"ImageType": ["DERIVED", "SECONDARY", "OTHER", "CT_SOM5 PROT"]}, "burned_in_text"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN_SAVE"]}, "burned_in_text"),
        ({"ImageType": ["DERIVED", "SECONDARY", "DOSE_REPORT"]}, "burned_in_text"),
        ({"ConversionType": "WSD"}, "burned_in_text"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "sop_class_not_allowed"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}, "sop_class_not_allowed"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, "sop_class_not_allowed"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33"}, "sop_class_not_allowed"),
        ({"SOPClassUID": "1.3.12.2.1107.5.9.1"}, "sop_class_not_allowed"),
        ({"BodyPartExamined": "HEAD"}, "recognizable_face"),
        ({"BodyPartExamined": "Brain "}, "recognizable_face"),
        ({"BodyPartExamined": "WHO KNOWS"}, "recognizable_face"),
        ({"RecognizableVisualFeatures": "YES"}, "recognizable_face"),
        ({"AnatomicRegionSequence": Sequence([code("69536005", "SCT", "Head")])}, "recognizable_face"),
        ({"DeidentificationMethod": ["FedVoxel", "x"]}, "already_deidentified"),
    ],
)
def test_what_is_refused(tmp_path: Path, changed: dict[str, Any], expected: str) -> None:
    scan(tmp_path, **changed)
    assert reason(tmp_path) == expected


@pytest.mark.parametrize("sop_class", ["7", "6.1"])
def test_captures_and_ultrasound_pass_only_with_their_devices_regions(tmp_path: Path, sop_class: str) -> None:
    scan(tmp_path, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{sop_class}", ManufacturerModelName="Writer")
    kinds = ("SC", "US")
    assert reason(tmp_path, sop_classes=kinds) == "burned_in_text"
    assert reason(tmp_path, sop_classes=kinds, burned_in=[{**DEVICE, "model": "Other"}]) == "burned_in_text"
    assert reason(tmp_path, sop_classes=kinds, burned_in=[{**DEVICE, "rows": 9}]) == "burned_in_text"
    cleaned(only_files(tmp_path), policy(sop_classes=kinds, burned_in=[DEVICE]))


@pytest.mark.parametrize(("photometric", "black"), [("MONOCHROME2", min), ("MONOCHROME1", max)])
def test_the_devices_text_is_made_black_and_recorded(tmp_path: Path, photometric: str, black: Any) -> None:
    original = scan(
        tmp_path, BurnedInAnnotation="YES", ManufacturerModelName="Writer", PhotometricInterpretation=photometric
    )
    before = original.pixel_array
    series = cleaned(only_files(tmp_path), policy(burned_in=[DEVICE]))
    (content,) = written(series)
    (tmp_path / "clean").write_bytes(content)
    after = dcmread(tmp_path / "clean")
    assert (after.pixel_array[:2] == black(before.reshape(-1))).all()
    assert (after.pixel_array[2:] == before[2:]).all()
    assert after.BurnedInAnnotation == "NO"
    assert "113101" in [item.CodeValue for item in after.DeidentificationMethodCodeSequence]


def test_a_series_that_does_not_say_what_it_shows_needs_the_cohorts_word(tmp_path: Path) -> None:
    scan(tmp_path, BodyPartExamined=None)
    assert reason(tmp_path, body_part=None) == "body_part_unknown"
    cleaned(only_files(tmp_path), policy(body_part="PROSTATE"))


@pytest.mark.parametrize(("faces", "recorded"), [("kept", "YES"), ("defaced", "NO")])
def test_faces_pass_by_the_hospitals_word_and_it_is_recorded(tmp_path: Path, faces: str, recorded: str) -> None:
    scan(tmp_path, BodyPartExamined="HEAD")
    (header,) = cleaned(only_files(tmp_path), policy(faces=faces)).headers
    assert header.RecognizableVisualFeatures == recorded
    assert "face" in header.DeidentificationMethod[1]


@pytest.mark.parametrize("kind", ["SEG", "RTSTRUCT"])
def test_what_was_drawn_shows_no_face(tmp_path: Path, kind: str) -> None:
    scan(tmp_path, kind)
    cleaned(only_files(tmp_path), policy(body_part=None))


def test_a_patient_without_an_id(tmp_path: Path) -> None:
    scan(tmp_path, PatientID="")
    assert reason(tmp_path) == "unnamed_patient"
    one = cleaned(only_files(tmp_path), policy(unnamed_patients="by_study"))
    scan(tmp_path, PatientID="", StudyInstanceUID="1.2.3.99")
    other = cleaned(only_files(tmp_path), policy(unnamed_patients="by_study"))
    assert one.patient != other.patient
