"""The one door: what comes through is consistent, the same every time, and made nowhere else."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.sequence import Sequence

from fedvoxel.deid.keys import DeidKeys
from fedvoxel.deid.series import DeidentifiedSeries, deidentify_series
from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.pixel_layout import PIXEL_KEYWORDS
from fedvoxel.errors import DeidError
from tests.deid.opened import cleaned, keys, only_files, policy, written
from tests.deid.scans import KINDS, SIDE, base_object


def store(folder: Path, *datasets: Dataset) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(datasets):
        dcmwrite(folder / str(number), dataset, enforce_file_format=True)
    return folder


def scan(kind: str = "CT", seed: int = 0, **changed: Any) -> Dataset:
    dataset = base_object(kind, seed)
    for keyword, value in {"PatientID": "4711", "PatientName": "Doe^Jane", **changed}.items():
        setattr(dataset, keyword, value)
    return dataset


def test_it_is_made_nowhere_else(tmp_path: Path) -> None:
    series = cleaned(only_files(store(tmp_path, scan())))
    with pytest.raises(TypeError, match="deidentify_series only"):
        DeidentifiedSeries("p", "1", "2", "CT", (), (), object())
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(series, patient="Jane Doe")
    with pytest.raises(dataclasses.FrozenInstanceError):
        series.patient = "Jane Doe"  # type: ignore[misc]


def test_it_shows_nothing(tmp_path: Path) -> None:
    shown = repr(cleaned(only_files(store(tmp_path, scan()))))
    assert shown == "DeidentifiedSeries(CT, 1 objects)"


@pytest.mark.parametrize("kind", KINDS)
def test_twice_gives_the_same_bytes_and_once_more_is_refused(tmp_path: Path, kind: str) -> None:
    files = only_files(store(tmp_path / "raw", scan(kind)))
    first, second = (written(cleaned(files)) for _ in range(2))
    assert first == second
    store(tmp_path / "clean").joinpath("0").write_bytes(first[0])
    with pytest.raises(DeidError) as caught:
        cleaned(only_files(tmp_path / "clean"))
    assert caught.value.reason == "already_deidentified"


def test_what_another_tool_deidentified_is_done_again(tmp_path: Path) -> None:
    dataset = scan(PatientIdentityRemoved="YES", DeidentificationMethod="Other tool")
    series = cleaned(only_files(store(tmp_path, dataset)))
    assert series.headers[0].DeidentificationMethod[0] == "FedVoxel"


def test_the_pixels_are_those_of_the_original(tmp_path: Path) -> None:
    for kind in ("CT", "ENHANCED_MR", "SEG"):
        original = scan(kind)
        (content,) = written(cleaned(only_files(store(tmp_path / kind, original))))
        (tmp_path / "clean").write_bytes(content)
        assert np.array_equal(dcmread(tmp_path / "clean").pixel_array, original.pixel_array)


def test_overlays_in_unused_bits_and_text_behind_the_image_stay_behind(tmp_path: Path) -> None:
    original = scan()
    values = np.frombuffer(original.PixelData, np.uint16).copy()
    plain = values.copy()
    values[::3] |= 0x8000
    original.PixelData = values.tobytes()
    series = cleaned(only_files(store(tmp_path, original)))
    assert np.array_equal(series.stored_pixels(0).reshape(-1), plain)
    assert len(series.dataset(0).PixelData) == 2 * SIDE * SIDE


def test_series_of_a_patient_belong_together(tmp_path: Path) -> None:
    """Image and segmentation, pulled apart, name the same patient, study, series and frame."""
    image, seg = scan("CT", 1), scan("SEG", 2, StudyInstanceUID="1.2.3.1.0", FrameOfReferenceUID="1.2.3.1.3")
    item, instance = Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    item.SeriesInstanceUID, item.ReferencedInstanceSequence = image.SeriesInstanceUID, Sequence([instance])
    seg.ReferencedSeriesSequence = Sequence([item])
    one = cleaned(only_files(store(tmp_path / "image", image)))
    other = cleaned(only_files(store(tmp_path / "seg", seg)))
    (reference,) = other.headers[0].ReferencedSeriesSequence
    assert (one.patient, one.study_uid) == (other.patient, other.study_uid)
    assert reference.SeriesInstanceUID == one.series_uid
    assert reference.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == one.headers[0].SOPInstanceUID
    assert one.headers[0].FrameOfReferenceUID == other.headers[0].FrameOfReferenceUID
    assert one.headers[0].PatientID == one.headers[0].PatientName == one.patient


def test_days_between_studies_of_a_patient_stay(tmp_path: Path) -> None:
    from datetime import datetime

    days = []
    for seed, day in enumerate(("20130405", "20140102")):
        dataset = scan(seed=seed, StudyDate=day)
        header = cleaned(only_files(store(tmp_path / day, dataset))).headers[0]
        assert header.StudyDate != day
        days.append(datetime.strptime(header.StudyDate + header.StudyTime, "%Y%m%d%H%M%S"))
    assert (days[1] - days[0]).days == 272 and header.LongitudinalTemporalInformationModified == "MODIFIED"


def test_another_project_gives_nothing_that_can_be_joined(tmp_path: Path) -> None:
    files = only_files(store(tmp_path, scan()))
    one, other = (cleaned(files, with_keys=DeidKeys.of("7" * 64, project)) for project in ("a", "b"))
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "StudyDate"):
        assert one.headers[0][keyword].value != other.headers[0][keyword].value


def test_it_is_marked_as_the_standard_wants(tmp_path: Path) -> None:
    (header,) = cleaned(only_files(store(tmp_path, scan())), names=frozenset({"Leber größer"})).headers
    codes = [item.CodeValue for item in header.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113105", "113107", "113108", "113109"]
    assert header.PatientIdentityRemoved == "YES" and header.SpecificCharacterSet == "ISO_IR 192"
    chosen = policy(dates="remove", patient_characteristics=False, device_identity=False)
    (header,) = cleaned(only_files(tmp_path), chosen).headers
    assert [item.CodeValue for item in header.DeidentificationMethodCodeSequence] == ["113100"]
    assert header.LongitudinalTemporalInformationModified == "REMOVED"


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "IssuerOfPatientID"])
def test_headers_of_another_series_are_refused(tmp_path: Path, keyword: str) -> None:
    files = only_files(store(tmp_path, scan()))
    header = read_header(files.paths[0])
    for headers in ([], [header, header]):
        with pytest.raises(DeidError, match="headers"):
            deidentify_series(files, headers, policy(), keys(), frozenset())
    setattr(header, keyword, "1.9")
    with pytest.raises(DeidError) as caught:
        deidentify_series(files, [header], policy(), keys(), frozenset())
    assert caught.value.reason == "mixed_identity"


def test_the_issuer_tells_patients_of_two_hospitals_apart(tmp_path: Path) -> None:
    one = cleaned(only_files(store(tmp_path / "a", scan(IssuerOfPatientID="A"))))
    other = cleaned(only_files(store(tmp_path / "b", scan(IssuerOfPatientID="B"))))
    assert one.patient != other.patient


def test_names_in_other_scripts_are_gone(tmp_path: Path) -> None:
    dataset = scan(SpecificCharacterSet=["", "ISO 2022 IR 87"])
    dataset.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    dataset.OperatorsName = "山田"
    series = cleaned(only_files(store(tmp_path, dataset)))
    (content,) = written(series)
    for encoding in ("utf-8", "iso2022_jp", "shift_jis", "euc_jp", "utf-16-le"):
        assert "山田".encode(encoding).strip() not in content
    assert b"Yamada" not in content and "山田" not in str(series.headers[0])


def test_a_series_keeps_nothing_of_the_original_header_but_the_layout(tmp_path: Path) -> None:
    series = cleaned(only_files(store(tmp_path, scan())))
    assert series.stored_pixels(0).ndim == 3
    assert {element.keyword for element in series._pixels[0].header} <= {*PIXEL_KEYWORDS, "PhotometricInterpretation"}
