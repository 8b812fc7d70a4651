"""Default-deny at every depth: each kind of value, and what happens to what fits no rule."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from fedvoxel.deid.allow_list import ALLOWED
from fedvoxel.deid.allowed_numbers import NUMBERS
from fedvoxel.deid.engine import MAX_DEPTH, clean_dataset
from fedvoxel.deid.standard_table import ACTIONS
from fedvoxel.deid.subject import Subject, subject_of
from fedvoxel.dicom.quiet import quiet
from fedvoxel.errors import DeidError
from tests.deid.opened import keys, policy
from tests.deid.scans import code

_BINARY = ("AT", "FD", "FL", "US or SS", "US", "UL", "SS", "SL")


def subject(names: frozenset[str] = frozenset(), **changed: Any) -> Subject:
    return subject_of(("4711", ""), policy(**changed), keys(), names)


def cleaned_value(keyword: str, value: Any, names: frozenset[str] = frozenset(), **changed: Any) -> Any:
    """What the engine leaves of one attribute; None if nothing."""
    dataset = Dataset()
    with quiet():
        dataset.add(DataElement(keyword, dictionary_VR(keyword).split(" or ")[0], value))
        return clean_dataset(dataset, subject(names, **changed)).get(keyword)


def test_only_what_physics_needs_may_be_as_long_as_a_birth_date() -> None:
    keywords = " ".join(keywords for (low, high), keywords in NUMBERS if max(-low, high) > 1e5).split()
    assert keywords == ["FrameAcquisitionDuration", "ActualFrameDuration", "FrameReferenceTime", "RadionuclideHalfLife"]


@pytest.mark.parametrize(
    ("keyword", "value", "left"),
    [
        ("SliceThickness", "2.50", 2.5),
        ("SliceThickness", "19600102", ""),
        ("SliceThickness", "nan", ""),
        ("SliceThickness", "1e400", ""),
        ("SeriesNumber", "12", 12),
        ("SeriesNumber", "19600102", ""),
        ("ImageType", ["ORIGINAL", "PRIMARY", "DOE"], ["ORIGINAL", "PRIMARY", "OTHER"]),
        ("BodyPartExamined", "DOE", None),
        ("PatientSex", "DOE", ""),
        ("PatientAge", "091Y", "090Y"),
        ("PatientAge", "089Y", "089Y"),
        ("PatientAge", "018M", "018M"),
        ("PatientAge", "91", None),
        ("PatientWeight", "71.4711234", 71),
        ("PatientSize", "1.7411234", 1.74),
        ("AcquisitionMatrix", [0, 256, 256, 0], [0, 256, 256, 0]),
        ("AcquisitionMatrix", [4, 15, 18, 15, 20, 8, 5, 1], None),
        ("PatientWeight", "7150", None),
        ("PatientBirthDate", "19600102", ""),
        ("AccessionNumber", "A1", ""),
        ("Manufacturer", "siemens", "SIEMENS"),
        ("Manufacturer", "Doe", ""),
        ("ManufacturerModelName", "Skyra", "Skyra"),
        ("ManufacturerModelName", "Doe's", None),
        ("SoftwareVersions", "Doe", "removed"),
        ("ConvolutionKernel", "B30f", "B30f"),
        ("ConvolutionKernel", "Doe1960", None),
        ("ConvolutionKernel", ["Br40d", "3"], ["Br40d", "3"]),
        ("ConvolutionKernel", ["A", "B", "C"], None),
        ("ConvolutionKernel", "X60a", None),
        ("WindowCenter", "470412", None),
        ("RadionuclideHalfLife", "282240", 282240),
        ("RadionuclideTotalDose", "370000000", None),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2"),
        ("DimensionIndexPointer", 0x00200032, 0x00200032),
        ("DimensionIndexPointer", 0x00291001, None),
        ("PatientName", "Doe", None),
        ("SeriesDescription", "Doe", None),
        ("ImageComments", "Doe", None),
        ("StudyDate", "1960", ""),
        ("ContentDate", "19600102-19610102", ""),
        ("AcquisitionTime", "noon", None),
    ],
)
def test_each_kind_of_value(keyword: str, value: Any, left: Any) -> None:
    assert cleaned_value(keyword, value) == left


@pytest.mark.parametrize(
    "text", ["1.0000000019600102", "-123.4567890123456789", "000000000000000001.5", "-0.70710678118654752440", "1.5"]
)
def test_a_decimal_is_no_longer_than_the_standard_has_it(text: str) -> None:
    left = cleaned_value("ImagePositionPatient", [text, "0.7071067811865", "-1"])
    written = [str(part) for part in left]
    assert max(map(len, written)) <= 16 and abs(float(left[0]) - float(text)) < 1e-9
    assert written[1:] == ["0.7071067811865", "-1"] and (written[0] == text) is (len(text) <= 16)


def test_a_whole_number_longer_than_the_standard_has_it_goes() -> None:
    assert cleaned_value("SeriesNumber", "000000000012") == 12
    assert cleaned_value("SeriesNumber", "0000000000012") == ""


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PixelSpacing", ["1", "-1"]),
        ("ImagePositionPatient", ["1", "2", "19600102"]),
        ("RescaleSlope", "inf"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2.99"),
        ("Modality", "DOE"),
    ],
)
def test_an_object_that_would_mislead_without_the_value_is_refused(keyword: str, value: Any) -> None:
    with pytest.raises(DeidError, match=keyword) as caught:
        cleaned_value(keyword, value)
    assert caught.value.reason == "unusable_value" and "DOE" not in str(caught.value)


def test_choices_of_the_policy() -> None:
    assert cleaned_value("PatientAge", "050Y", patient_characteristics=False) is None
    assert cleaned_value("PatientSex", "F", patient_characteristics=False) == ""
    assert cleaned_value("Manufacturer", "SIEMENS", device_identity=False) == ""
    assert cleaned_value("DeviceSerialNumber", "77", device_identity=False) is None
    assert cleaned_value("DeviceSerialNumber", "77") == keys().device("77")
    assert cleaned_value("ManufacturerModelName", "Ours 1", device_models=("Ours 1",)) == "Ours 1"
    assert cleaned_value("StudyDate", "20130405", dates="remove") == ""
    assert cleaned_value("AcquisitionDate", "20130405", dates="remove") is None


def test_uids_the_standard_registers_stay_and_only_those() -> None:
    talairach = "1.2.840.10008.1.4.1.1"
    assert cleaned_value("FrameOfReferenceUID", talairach) == talairach
    lookalike = "1.2.840.10008.1.4.1.1.99"
    assert cleaned_value("FrameOfReferenceUID", lookalike) == keys().uid(lookalike)
    assert cleaned_value("SOPInstanceUID", "2.25.7") == keys().uid("2.25.7")


@given(st.binary(max_size=40), st.sampled_from(sorted(ALLOWED)))
def test_whatever_bytes_an_attribute_holds_nothing_breaks(value: bytes, tag: int) -> None:
    from pydicom.dataelem import RawDataElement

    vr = ALLOWED[tag].vr.split(" or ")[0]
    dataset = Dataset()
    dataset[Tag(tag)] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)
    with quiet():
        try:
            clean = clean_dataset(dataset, subject())
        except DeidError as error:
            assert error.reason == "unusable_value"
            return
    assert all(int(element.tag) in ALLOWED for element in clean)


@given(st.text(min_size=1, max_size=30))
def test_no_text_gets_through_any_attribute(text: str) -> None:
    """Of every attribute that may stay and that could hold text, none lets arbitrary text through."""
    word = f"Qzjx{text}"
    dataset = Dataset()
    for tag, allowed in ALLOWED.items():
        if allowed.kind == "value" and allowed.otherwise != "refuse" and allowed.vr not in _BINARY:
            dataset.add(DataElement(Tag(tag), "LO", word))
    with quiet():
        clean = clean_dataset(dataset, subject())
    assert "Qzjx" not in str(clean)


def test_nothing_of_the_original_is_changed_or_shared() -> None:
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = "1.2.3"
    dataset = Dataset()
    dataset.ReferencedImageSequence = Sequence([inner])
    dataset.PixelSpacing = [1, 2]
    before = copy.deepcopy(dataset)
    clean = clean_dataset(dataset, subject())
    clean.PixelSpacing[0] = 9
    clean.ReferencedImageSequence[0].ReferencedSOPInstanceUID = "9"
    assert dataset == before


def _nested(depth: int) -> Dataset:
    dataset = Dataset()
    for _ in range(depth):
        item = dataset
        item.PatientName = "Doe^Jane"
        item.ReferencedSOPInstanceUID = "1.2.3"
        dataset = Dataset()
        dataset.ReferencedImageSequence = Sequence([item])
    return dataset


def test_sequences_are_cleaned_twenty_deep_and_refused_beyond_the_bound() -> None:
    clean = clean_dataset(_nested(20), subject())
    assert "Doe" not in str(clean) and str(clean).count(keys().uid("1.2.3")) == 20
    with pytest.raises(DeidError) as caught:
        clean_dataset(_nested(MAX_DEPTH + 2), subject())
    assert caught.value.reason == "nested_too_deep"


def test_concepts_of_the_standard_stay_in_its_words() -> None:
    said = code("10200004", "SCT", "the liver of Jane Doe")
    said.AnatomicRegionModifierSequence = Sequence([code("7771000", "SCT", "Jane's left")])
    dataset = Dataset()
    dataset.AnatomicRegionSequence = Sequence([said, code("DOE", "99HOSPITAL", "Doe"), code("T-62000", "SRT", "x")])
    clean = clean_dataset(dataset, subject())
    assert [item.CodeMeaning for item in clean.AnatomicRegionSequence] == ["Liver structure (body structure)"] * 2
    (modifier,) = clean.AnatomicRegionSequence[0].AnatomicRegionModifierSequence
    assert modifier.CodeMeaning == "Left"


def test_a_private_concept_stays_if_the_cohort_names_it() -> None:
    dataset = Dataset()
    dataset.SegmentedPropertyTypeCodeSequence = Sequence([code("L1", "99OURS", "Doe's lesion")])
    kept = clean_dataset(dataset, subject(frozenset({"99OURS|L1"}))).SegmentedPropertyTypeCodeSequence[0]
    assert (kept.CodeValue, kept.CodeMeaning) == ("L1", "99OURS L1")
    other = clean_dataset(dataset, subject()).SegmentedPropertyTypeCodeSequence[0]
    assert other.CodeMeaning == "Tissue"


def test_names_of_segments_stay_only_if_the_cohort_holds_them() -> None:
    dataset = Dataset()
    dataset.SegmentNumber, dataset.SegmentLabel = 3, "Liver"
    assert clean_dataset(dataset, subject(frozenset({"Liver"}))).SegmentLabel == "Liver"
    assert clean_dataset(dataset, subject(frozenset({"Spleen"}))).SegmentLabel == "segment 3"
    del dataset.SegmentNumber
    assert clean_dataset(dataset, subject())["SegmentLabel"].value == "segment"


def test_padding_values_are_written_as_the_pixels_have_them() -> None:
    dataset = Dataset()
    dataset.PixelRepresentation = 1
    dataset.add(DataElement("PixelPaddingValue", "US", 63536))
    assert clean_dataset(dataset, subject())["PixelPaddingValue"].value == -2000
    assert clean_dataset(dataset, subject())["PixelPaddingValue"].VR == "SS"


def test_the_allow_list_keeps_of_the_standards_table_only_what_an_option_allows() -> None:
    """Every attribute that the Basic Profile touches and that is not removed here, with the reason."""
    by_option = {"113107": {"DA", "TM", "DT"}}
    characteristics = {"PatientAge", "PatientSex", "PatientSize", "PatientWeight"}
    cleaned = {"ReferencedImageSequence", "SourceImageSequence", "AcquisitionContextSequence"}
    replaced = {"ROIName", "DeviceSerialNumber", "StructureSetLabel"}
    emptied = {
        *("AccessionNumber", "ReferringPhysicianName", "PatientBirthDate", "ContrastBolusAgent", "StudyID"),
        *("ContentCreatorName", "ROIInterpreter", "OperatorsName"),
    }
    for tag in ACTIONS.keys() & ALLOWED.keys():
        allowed = ALLOWED[tag]
        if allowed.vr == "UI":
            assert ACTIONS[tag] == "U"
        elif allowed.vr in by_option["113107"] and allowed.keyword != "PatientBirthDate":
            assert "Moved" in type(allowed.rule).__name__
        else:
            assert allowed.keyword in characteristics | cleaned | replaced | emptied
    assert {str(cleaned_value(keyword, "Doe")) for keyword in emptied} == {""}
