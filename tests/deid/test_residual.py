"""The gate: an engine that is broken in any way lets nothing through, and a sound one is not stopped by chance."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.sequence import Sequence

from fedvoxel.deid import engine, marking, series
from fedvoxel.deid.engine import clean_dataset
from fedvoxel.deid.marking import mark
from fedvoxel.deid.object_rules import Label
from fedvoxel.deid.patient_rules import Moved
from fedvoxel.deid.residual import check_nothing_left
from fedvoxel.deid.subject import Subject, subject_of
from fedvoxel.errors import DeidError
from tests.deid.opened import cleaned, keys, only_files, policy
from tests.deid.planted import planted_object, write
from tests.deid.scans import base_object

Broken = Callable[[pytest.MonkeyPatch], None]


def _skip_recursion(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "_clean_items", lambda allowed, value, subject, depth: list(value) or None)


def _keep_private(patch: pytest.MonkeyPatch) -> None:
    def cleans(dataset: Dataset, subject: Subject) -> Dataset:
        clean = clean_dataset(dataset, subject)
        clean.update({element.tag: element for element in dataset if element.tag.is_private})
        return clean

    patch.setattr(series, "clean_dataset", cleans)


def _skip_the_allow_list(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(series, "clean_dataset", lambda dataset, subject: copy.deepcopy(dataset))


def _keep_uids(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Subject, "uid", lambda self, uid: uid)


def _keep_dates(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Moved, "__call__", lambda self, value, subject, item: value)


def _keep_labels(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Label, "__call__", lambda self, value, subject, item: f"drawn by {item.PatientName}")


def _keep_the_name(patch: pytest.MonkeyPatch) -> None:
    def marks(clean: Dataset, subject: Subject, masked: bool) -> None:
        mark(clean, subject, masked)
        clean.DeidentificationMethod = ["FedVoxel", "DOE JANE"]

    patch.setattr(series, "mark", marks)


def _keep_file_meta(patch: pytest.MonkeyPatch) -> None:
    def meta(clean: Dataset) -> Any:
        made = original(clean)
        made.SourceApplicationEntityTitle = "DOE_WORKSTATION"
        return made

    original = marking._file_meta
    patch.setattr(marking, "_file_meta", meta)


def _named(folder: Path, kind: str) -> None:
    planted = planted_object(kind, 1)
    dataset = planted.dataset
    dataset.PatientName, dataset.PatientID, dataset.StationName = "Doe^Jane", "DOE-4711", "Doe_Workstation"
    for item in dataset.get("SegmentSequence", []):
        item.PatientName = "Doe^Jane"
    write(planted, folder / "1")


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (_skip_recursion, "CT"),
        (_keep_private, "CT"),
        (_skip_the_allow_list, "CT"),
        (_keep_uids, "CT"),
        (_keep_dates, "CT"),
        (_keep_labels, "SEG"),
        (_keep_the_name, "CT"),
        (_keep_file_meta, "CT"),
    ],
)
def test_a_broken_engine_lets_nothing_through(
    broken: Broken, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _named(tmp_path, kind)
    files = only_files(tmp_path)
    cleaned(files)
    broken(monkeypatch)
    with pytest.raises(DeidError) as caught:
        cleaned(files)
    assert caught.value.reason == "identifier_left"
    assert "doe" not in str(caught.value).lower() and "4711" not in str(caught.value)


def _checked(
    original: Dataset, spoil: Callable[[Dataset], None] = lambda clean: None, names: frozenset[str] = frozenset()
) -> None:
    subject = subject_of((str(original.PatientID), ""), policy(), keys(), names)
    clean = clean_dataset(original, subject)
    mark(clean, subject, masked=False)
    spoil(clean)
    check_nothing_left([original], [clean], subject)


def _patient(name: str, patient_id: str) -> Dataset:
    original = base_object("CT")
    original.PatientName, original.PatientID = name, patient_id
    return original


@pytest.mark.parametrize(
    "spoil",
    [
        lambda clean: setattr(clean, "SoftwareVersions", "by Doe"),
        lambda clean: setattr(clean, "SoftwareVersions", "xxDOROTHEAxx"),
        lambda clean: setattr(clean, "SoftwareVersions", "id 47110815."),
        lambda clean: setattr(clean, "SeriesNumber", "47110815"),
        lambda clean: setattr(clean, "SliceThickness", "47110815"),
        lambda clean: setattr(clean, "WindowCenter", "47110815.0"),
        lambda clean: setattr(clean, "WindowCenter", "-47110815"),
        lambda clean: setattr(clean, "WindowCenter", "4711.0815"),
        lambda clean: setattr(clean, "WindowCenter", "47110815e-7"),
        lambda clean: setattr(clean, "AcquisitionDuration", 47110815.0),
        lambda clean: setattr(clean, "SoftwareVersions", "1.2.3.0.2"),
        lambda clean: setattr(clean, "FrameOfReferenceUID", "1.9.8.7"),
        lambda clean: setattr(clean, "StudyDate", "20130405"),
        lambda clean: setattr(clean, "StudyTime", "DOROTHEA"),
        lambda clean: setattr(clean, "ConvolutionKernel", "Doe"),
        lambda clean: setattr(clean, "ImageComments", "harmless"),
        lambda clean: clean.private_block(0x29, "X", create=True).add_new(1, "DS", "1"),
        lambda clean: setattr(clean.DeidentificationMethodCodeSequence[0], "PatientName", "other"),
        lambda clean: setattr(clean.file_meta, "SourceApplicationEntityTitle", "DOROTHEA"),
    ],
)
def test_each_thing_left_is_found(spoil: Callable[[Dataset], None]) -> None:
    original = _patient("Doe^Dorothea", "47110815")
    _checked(original)
    with pytest.raises(DeidError) as caught:
        _checked(original, spoil)
    assert caught.value.reason == "identifier_left"


@pytest.mark.parametrize(
    ("name", "patient_id"),
    [
        ("Lung^Head", "1"),
        ("Axial^Original", "120"),
        ("Removed^Patient", "HFS"),
        ("Ada^Bee", "4A4"),
        ("Liver^Standard", "FEDVOXEL"),
        ("Kept^Segment", "225"),
        ("Iso^Martin", "192"),
        ("", "0.75"),
        ("Device^Jane", "1"),
    ],
)
def test_a_patient_with_an_unlucky_name_or_number_is_not_stopped(name: str, patient_id: str) -> None:
    original = _patient(name, patient_id)
    _checked(original)


@pytest.mark.parametrize("patient_id", ["54321", "0054321", "P-54321", "P54-321", "5432100"])
def test_an_identifier_is_found_as_a_number_without_what_stands_around_its_digits(patient_id: str) -> None:
    number = patient_id.replace("-", "").lstrip("P0")
    _checked(_patient("", patient_id), lambda clean: setattr(clean, "SeriesNumber", "54322"))
    with pytest.raises(DeidError):
        _checked(_patient("", patient_id), lambda clean: setattr(clean, "SeriesNumber", number))


def test_seven_digits_of_a_coordinate_are_no_identifier() -> None:
    _checked(_patient("", "1234567"), lambda clean: setattr(clean, "SliceLocation", "-123.4567"))


def test_a_time_that_equals_an_identifier_by_chance_is_no_hit() -> None:
    _checked(_patient("", "123456"), lambda clean: setattr(clean, "StudyTime", "123456"))


def test_a_series_with_the_patients_number_loses_that_number_only() -> None:
    original = _patient("Doe^Jane", "47110")
    original.SeriesNumber = 47110
    _checked(original)
    with pytest.raises(DeidError):
        _checked(original, lambda clean: setattr(clean, "SeriesNumber", 47110))


@pytest.mark.parametrize("kernel", ["Sharp", "Smooth", "BONEPLUS"])
def test_a_patient_called_as_a_kernel_is_not_stopped(kernel: str) -> None:
    original = _patient(f"{kernel}^Jane", "1")
    original.ConvolutionKernel = kernel
    _checked(original)
    with pytest.raises(DeidError):
        _checked(original, lambda clean: setattr(clean, "SoftwareVersions", f"by {kernel}"))


def test_a_patient_called_as_a_label_of_the_cohort_is_not_stopped() -> None:
    original = _patient("Quarzolin^Jane", "1")
    with pytest.raises(DeidError):
        _checked(original, lambda clean: setattr(clean, "SoftwareVersions", "Quarzolin"))
    _checked(original, lambda clean: setattr(clean, "SoftwareVersions", "Quarzolin"), names=frozenset({"Quarzolin"}))


@pytest.mark.parametrize("order", [("SoftwareVersions", "SeriesNumber"), ("SeriesNumber", "SoftwareVersions")])
def test_a_text_that_stands_as_a_number_too_is_searched_as_text(order: tuple[str, str]) -> None:
    def spoil(clean: Dataset) -> None:
        for keyword in order:
            if keyword in clean:
                del clean[keyword]
            setattr(clean, keyword, "4711")

    with pytest.raises(DeidError):
        _checked(_patient("", "4711"), spoil)


@given(
    st.from_regex(r"[A-Z][a-z]{2,9}\^[A-Z][a-z]{2,9}", fullmatch=True), st.from_regex(r"[0-9]{5,10}", fullmatch=True)
)
def test_a_sound_engine_is_not_stopped_by_chance(name: str, patient_id: str) -> None:
    _checked(_patient(name, patient_id))


def test_identifiers_are_found_where_they_hide() -> None:
    from fedvoxel.deid.identifiers import identifiers_of

    original = _patient("Doe^Jane^^Dr^=山田^太郎", "4711")
    inner = Dataset()
    inner.OperatorsName, inner.ReferencedSOPInstanceUID = "Smith, Bob", "1.9.9"
    original.ReferencedImageSequence = Sequence([inner])
    original.file_meta.SourceApplicationEntityTitle = "PACS_1"
    found = identifiers_of([original])
    assert {"doe", "jane", "smith", "bob", "4711", "pacs_1"} <= found.words and "dr" not in found.words
    assert "1.9.9" in found.uids and not any(uid.startswith("1.2.840.10008") for uid in found.uids)
    assert "Doe" not in repr(found) and "doe" not in repr(found)
