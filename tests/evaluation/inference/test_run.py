"""From files to files: what is found lies on the right voxels in every orientation, and nothing half is left."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import nibabel
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from fedvoxel.dicom.measurement_report import report_of
from fedvoxel.dicom.result import Algorithm, Concept, Finding
from fedvoxel.dicom.source_header import source_headers
from fedvoxel.errors import ConfigError, DicomError, GeometryError, PredictionError
from fedvoxel.evaluation.inference import objects
from fedvoxel.evaluation.inference.run import predict_nifti, predict_study
from tests.dicom.dicom_checker import errors_among, errors_in
from tests.dicom.phantom import Phantom, write_all
from tests.evaluation.inference.bright_studies import (
    DIRECTIONS,
    LEVELS,
    SPACING_MM,
    bright_job,
    bright_slices,
    bright_study,
    levels,
    only_study,
)
from tests.evaluation.inference.seg_places import places_in, places_of
from tests.volumes.site_pipeline import store

LABELS = {1: "anterior hippocampus", 2: "posterior hippocampus"}
VOXEL_ML = float(np.prod(SPACING_MM)) / 1000
OTHER_PLANS = [{}, {"orientation": "LPI"}, {"orientation": "SAR"}]


@pytest.mark.parametrize("plan", OTHER_PLANS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_voxel_of_a_series_is_where_it_was_found(tmp_path: Path, direction: str, plan: dict[str, Any]) -> None:
    codes = levels()
    slices = bright_slices(direction, codes)
    store(tmp_path / "study", *slices)
    outcome = predict_study(only_study(tmp_path / "study"), bright_job(tmp_path / "job", plan=plan))
    segmentation, report = outcome.objects
    found = places_in(dcmread(segmentation))
    for code, label in LABELS.items():
        assert found[label] == places_of(slices, codes, code)
        assert outcome.findings[code - 1].volume_ml == pytest.approx(np.sum(codes == code) * VOXEL_ML, rel=1e-6)
    assert errors_in(segmentation) == [] and errors_in(report) == []
    assert errors_among([segmentation, report, *(tmp_path / "study").iterdir()]) == []


BLOCK = (slice(1, 15), slice(6, 26), slice(1, 19))
"""Slices, rows and columns, nearer to one end than to the other along each."""


@pytest.mark.parametrize("direction", ["oblique", "twice oblique"])
@pytest.mark.parametrize("spacing_mm", [(1.5, 1.5, 1.5), (0.9, 2.1, 1.6)])
def test_a_block_is_where_it_was_where_the_models_voxels_are_others(
    tmp_path: Path, direction: str, spacing_mm: tuple[float, ...]
) -> None:
    codes = np.zeros((20, 28, 22), np.uint8)
    codes[BLOCK] = 1
    slices = bright_slices(direction, codes)
    store(tmp_path / "study", *slices)
    plan = {"spacing_mm": spacing_mm}
    outcome = predict_study(only_study(tmp_path / "study"), bright_job(tmp_path / "job", plan=plan))
    found = places_in(dcmread(outcome.objects[0]))[LABELS[1]]
    # A face of the block may come out one of the model's voxels off, and its middle by far less.
    off = [math.ceil(max(spacing_mm) / size) for size in SPACING_MM]
    core = tuple(slice(part.start + by, part.stop - by) for part, by in zip(BLOCK, off, strict=True))
    around = tuple(slice(max(part.start - by, 0), part.stop + by) for part, by in zip(BLOCK, off, strict=True))
    inner, outer = np.zeros_like(codes), np.zeros_like(codes)
    inner[core], outer[around] = 1, 1
    assert places_of(slices, inner, 1) <= found <= places_of(slices, outer, 1)
    middles = [np.mean(list(places), axis=0) for places in (found, places_of(slices, codes, 1))]
    assert np.abs(middles[0] - middles[1]).max() < 0.5


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_highdicom_reads_the_same_voxels(tmp_path: Path, direction: str) -> None:
    codes = levels()
    slices = bright_slices(direction, codes)
    store(tmp_path / "study", *slices)
    outcome = predict_study(only_study(tmp_path / "study"), bright_job(tmp_path / "job"))
    image = hd.get_volume_from_series(list(slices))
    read = hd.seg.segread(outcome.objects[0]).get_volume(combine_segments=True).match_geometry(image)
    expected = np.searchsorted(LEVELS, image.array.astype(int))
    np.testing.assert_array_equal(read.array, expected)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_with_eight_bits_for_each_pixel_it_is_the_same_segmentation(tmp_path: Path, direction: str) -> None:
    codes = levels()
    slices = bright_slices(direction, codes)
    store(tmp_path / "study", *slices)
    job = replace(bright_job(tmp_path / "job"), eight_bit=True)
    segmentation, report = predict_study(only_study(tmp_path / "study"), job).objects
    made = hd.seg.segread(segmentation)
    assert (made.SegmentationType, made.SegmentationFractionalType, made.BitsAllocated) == (
        "FRACTIONAL",
        "OCCUPANCY",
        8,
    )
    assert set(np.unique(made.pixel_array)) == {0, 255} and made.MaximumFractionalValue == 255
    image = hd.get_volume_from_series(list(slices))
    read = made.get_volume(combine_segments=True).match_geometry(image)
    np.testing.assert_array_equal(read.array, np.searchsorted(LEVELS, image.array.astype(int)))
    assert {label: places_in(made)[label] for label in LABELS.values()} == {
        label: places_of(slices, codes, code) for code, label in LABELS.items()
    }
    assert errors_among([segmentation, report, *(tmp_path / "study").iterdir()]) == []
    assert errors_in(segmentation) == []


def test_an_enhanced_image_is_predicted_too(tmp_path: Path) -> None:
    phantom = Phantom("oblique", modality="MR", slope=1.0, intercept=0.0)
    image = phantom.enhanced(order=[3, 1, 0, 2, 7, 5, 6, 4])
    image.PatientSex, image.StudyID, image.AccessionNumber = "O", "1", ""
    write_all(tmp_path / "study", [image])
    outcome = predict_study(only_study(tmp_path / "study"), bright_job(tmp_path / "job"))
    made = dcmread(outcome.objects[0])
    assert (
        made.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    )


def test_localizers_and_copies_are_left_out_and_said(tmp_path: Path) -> None:
    slices = bright_slices("axial", levels())
    localizer = bright_slices("coronal", levels())[0]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(localizer, keyword, slices[0][keyword].value)
    localizer.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    store(tmp_path / "study", *slices, localizer)
    outcome = predict_study(only_study(tmp_path / "study"), bright_job(tmp_path / "job"))
    assert dict(outcome.left_out) == {"localizer": 1}
    assert places_in(dcmread(outcome.objects[0]))[LABELS[1]] == places_of(slices, levels(), 1)


def test_what_is_not_there_has_no_segment(tmp_path: Path) -> None:
    codes = np.where(levels() == 2, 0, levels()).astype(np.uint8)
    outcome = predict_study(only_study(bright_study(tmp_path / "study", codes=codes)), bright_job(tmp_path / "job"))
    assert [finding.is_found for finding in outcome.findings] == [
        False,
        True,
    ]  # the second is as bright as the brightest
    assert len(dcmread(outcome.objects[0]).SegmentSequence) == 1


def test_where_nothing_is_found_there_is_a_report_alone(tmp_path: Path) -> None:
    structures = [{"name": "n", "label": "nothing", "colour_rgb": [0, 0, 0]}]
    concept = {"scheme": "SCT", "value": "5366008", "meaning": "Hippocampus"}
    structures[0] |= {"category": {**concept, "value": "123037004", "meaning": "Anatomical Structure"}, "type": concept}
    rare = np.where(np.arange(levels().size).reshape(levels().shape) % 2, 0, 1).astype(np.uint8)
    job = bright_job(tmp_path / "job", structures=structures, plan={"intensity": {"method": "zscore"}})
    runtime = job.model.predictor.runtime
    silent = replace(job.model.predictor, runtime=_Silent(runtime))
    job = replace(job, model=replace(job.model, predictor=silent))
    outcome = predict_study(only_study(bright_study(tmp_path / "study", codes=rare)), job)
    assert outcome.files == ("report.dcm", "summary.json") and errors_in(outcome.objects[0]) == []


class _Silent:
    """Says background everywhere."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self.name, self.largest_batch = runtime.name, runtime.largest_batch

    def logits(self, batch: Any) -> Any:
        found = self._runtime.logits(batch)
        found[:, 0] = 1000
        return found


def test_the_summary_tells_the_model_and_nobody(tmp_path: Path) -> None:
    folder = bright_study(tmp_path / "study", PatientName="Doe^Jane", PatientID="4711", StudyDescription="Jane's head")
    outcome = predict_study(only_study(folder), bright_job(tmp_path / "job"))
    text = (outcome.folder / "summary.json").read_text()
    said = json.loads(text)
    assert said["model"]["name"] == "hippocampus" and len(said["model"]["package_sha256"]) == 64
    assert said["source"] == {"study": 1, "series": 1, "modality": "MR", "slices": 9}
    source = dcmread(next(folder.iterdir()))
    for secret in ("Doe", "4711", "Jane", source.StudyInstanceUID, source.SeriesInstanceUID, str(tmp_path)):
        assert secret not in text and secret not in outcome.folder.name
    assert {path.name for path in outcome.folder.iterdir()} == set(outcome.files)
    assert all(path.stat().st_mode & 0o077 == 0 for path in [outcome.folder, *outcome.folder.iterdir()])


def test_a_body_part_that_nobody_names_is_remarked_in_the_report(tmp_path: Path) -> None:
    outcome = predict_study(only_study(bright_study(tmp_path / "study")), bright_job(tmp_path / "job"))
    assert any("names no body part" in remark for remark in outcome.remarks)
    assert outcome.remarks[0] in [element.value for element in dcmread(outcome.objects[1]).iterall()]
    job = replace(bright_job(tmp_path / "j"), eight_bit=True)
    named = predict_study(only_study(bright_study(tmp_path / "two", BodyPartExamined="HEAD")), job)
    assert named.remarks == ()


def test_a_size_that_a_viewer_shows_wrong_is_remarked_unless_it_takes_eight_bits(tmp_path: Path) -> None:
    study = only_study(bright_study(tmp_path / "study", BodyPartExamined="HEAD"))
    outcome = predict_study(study, bright_job(tmp_path / "job"))
    (remark,) = outcome.remarks
    assert "OHIF 3.13 misplaces" in remark and "14 rows x 11 columns" in remark and "--eight-bit" in remark
    assert json.loads((outcome.folder / "summary.json").read_text())["remarks"] == [remark]
    assert remark in [element.value for element in dcmread(outcome.objects[1]).iterall()]
    even = only_study(bright_study(tmp_path / "even", codes=levels((9, 16, 11)), BodyPartExamined="HEAD"))
    assert predict_study(even, bright_job(tmp_path / "other")).remarks == ()


def flipped(made: Any) -> Any:
    """Makes a segmentation of which the slices lie the other way round."""

    def make(sources: Any, geometry: Any, label: Any, *rest: Any) -> Any:
        return made(sources, geometry, label[::-1], *rest)

    return make


def of_somebody_else(made: Any) -> Any:
    def make(sources: Any, *rest: Any) -> Any:
        found = made(sources, *rest)
        found.PatientID = "SOMEBODY ELSE"
        return found

    return make


def elsewhere(made: Any) -> Any:
    """Makes a segmentation that says to lie one slice further."""

    def make(sources: Any, *rest: Any) -> Any:
        found = made(sources, *rest)
        for own in found.PerFrameFunctionalGroupsSequence:
            x, y, z = own.PlanePositionSequence[0].ImagePositionPatient
            own.PlanePositionSequence[0].ImagePositionPatient = [x, y, z + SPACING_MM[0]]
        return found

    return make


def half_a_voxel_off(made: Any) -> Any:
    def make(sources: Any, *rest: Any) -> Any:
        found = made(sources, *rest)
        for own in found.PerFrameFunctionalGroupsSequence:
            x, y, z = own.PlanePositionSequence[0].ImagePositionPatient
            own.PlanePositionSequence[0].ImagePositionPatient = [x + 0.35, y, z]
        return found

    return make


def faint(made: Any) -> Any:
    """Makes a segmentation that takes one pixel for half of one."""

    def make(sources: Any, *rest: Any) -> Any:
        found = made(sources, *rest)
        content = np.frombuffer(found.PixelData, np.uint8).copy()
        content[np.flatnonzero(content)[0]] = 128
        found.PixelData = content.tobytes()
        return found

    return make


@pytest.mark.parametrize("wrong", [flipped, of_somebody_else, elsewhere, half_a_voxel_off, faint])
def test_a_segmentation_that_is_wrong_never_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    monkeypatch.setattr(objects, "segmentation_of", wrong(objects.segmentation_of))
    job = replace(bright_job(tmp_path / "job"), eight_bit=wrong is faint)
    with pytest.raises(PredictionError) as caught:
        predict_study(only_study(bright_study(tmp_path / "study")), job)
    assert caught.value.reason == "self_test" and "SOMEBODY" not in str(caught.value)
    assert list((tmp_path / "job").glob("out/*")) == []


def test_a_report_of_somebody_else_never_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "report_of", of_somebody_else(objects.report_of))
    with pytest.raises(PredictionError) as caught:
        predict_study(only_study(bright_study(tmp_path / "study")), bright_job(tmp_path / "job"))
    assert caught.value.reason == "self_test"


def test_a_study_that_makes_no_volume_is_refused_with_its_reason(tmp_path: Path) -> None:
    slices: list[Dataset] = bright_slices("axial", levels())
    del slices[4]
    store(tmp_path / "study", *slices)
    with pytest.raises(GeometryError) as caught:
        predict_study(only_study(tmp_path / "study"), bright_job(tmp_path / "job"))
    assert caught.value.reason == "missing_slices"


def test_a_series_without_frame_of_reference_is_refused(tmp_path: Path) -> None:
    folder = bright_study(tmp_path / "study", FrameOfReferenceUID="")
    with pytest.raises(DicomError, match="FrameOfReferenceUID"):
        predict_study(only_study(folder), bright_job(tmp_path / "job"))


def test_a_series_that_does_not_fit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    slices = bright_slices("axial", levels())
    for one in slices:
        one.Rows, one.Columns = 8192, 8192  # a promise that the pixels do not keep
    store(tmp_path / "study", *slices)
    wide = {"extent_mm": {"low": 5, "high": 10_000}}
    with pytest.raises(PredictionError) as caught:
        predict_study(only_study(tmp_path / "study"), bright_job(tmp_path / "job", input=wide))
    assert caught.value.reason == "too_large_for_memory"


def nifti(path: Path, codes: np.ndarray, affine: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(np.array(LEVELS, np.int16)[codes], affine), path)
    return path


def test_a_nifti_file_gets_a_label_map_on_its_own_grid(tmp_path: Path) -> None:
    codes, affine = levels(), np.array([[0, 0, -3.0, 4], [1.2, 0, 0, 5], [0, 0.7, 0, 6], [0, 0, 0, 1.0]])
    outcome = predict_nifti(nifti(tmp_path / "scan.nii.gz", codes, affine), bright_job(tmp_path / "job"))
    read: Any = nibabel.load(outcome.folder / "label.nii.gz")
    np.testing.assert_array_equal(np.asarray(read.dataobj), codes)
    np.testing.assert_allclose(read.affine, affine)
    assert outcome.files == ("label.nii.gz", "summary.json") and outcome.objects == ()
    assert any("does not say its modality" in remark for remark in outcome.remarks)
    assert outcome.findings[0].volume_ml == pytest.approx(np.sum(codes == 1) * 1.2 * 0.7 * 3 / 1000, rel=1e-6)


def test_a_nifti_file_that_claims_too_much_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = nifti(tmp_path / "scan.nii", levels(), np.eye(4))
    content = bytearray(path.read_bytes())
    content[40:56] = np.array([3, 2000, 2000, 60, 1, 1, 1, 1], "<i2").tobytes()
    path.write_bytes(content)
    with pytest.raises(PredictionError) as caught:
        predict_nifti(path, bright_job(tmp_path / "job", limit_mb=1024))
    assert caught.value.reason == "too_large_for_memory"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    job = bright_job(tmp_path / "job")
    (tmp_path / "job" / "out").write_text("a file")
    with pytest.raises(ConfigError, match="--out"):
        predict_study(only_study(bright_study(tmp_path / "study")), job)


@pytest.mark.parametrize("series", ["Study1"])
def test_a_real_hippocampus_passes_the_checkers(data_folder: Path, tmp_path: Path, series: str) -> None:
    folder = data_folder / "dicom_studies" / "hippocrop" / series
    outcome = predict_study(only_study(folder), bright_job(tmp_path / "job"))
    assert [errors_in(path) for path in outcome.objects] == [[], []]
    assert errors_among([*outcome.objects, *sorted(folder.glob("*.dcm"))]) == []


@pytest.mark.parametrize("folder", ["prostate3t", "prostatex"])
def test_a_real_study_of_another_body_part_is_refused(data_folder: Path, tmp_path: Path, folder: str) -> None:
    with pytest.raises(PredictionError) as caught:
        predict_study(only_study(data_folder / "dicom_studies" / folder), bright_job(tmp_path / "job"))
    assert caught.value.reason == "wrong_body_part"


def test_a_real_study_of_four_series_asks_which(data_folder: Path, tmp_path: Path) -> None:
    study = only_study(data_folder / "dicom_studies" / "brain_tumour_siemens_study3")
    with pytest.raises(PredictionError) as caught:
        predict_study(study, bright_job(tmp_path / "job"))
    assert caught.value.reason == "several_series"
    outcome = predict_study(study, bright_job(tmp_path / "second", series=3))
    assert [errors_in(path) for path in outcome.objects] == [[], []] and outcome.source["series"] == 3


def test_who_changes_a_result_does_not_change_the_header_that_it_is_compared_with() -> None:
    sources = bright_slices("axial", levels())
    (made, *_) = source_headers(sources)
    concept = Concept("SCT", "5366008", "Hippocampus")
    finding = Finding(1, "hippocampus", concept, concept, None, (1, 2, 3), 0.0)
    report = report_of(sources, None, [finding], Algorithm("hippocampus", "1.0.0", "0" * 64, "1"))
    report.PatientID = made.PatientID = "SOMEBODY ELSE"
    assert sources[0].PatientID == "one"
