"""A signed model is used on studies in the background, and what a reader accepts or corrects becomes a segmentation."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from highdicom.seg import segread
from pydicom import dcmread

from fedvoxel.errors import ReviewError
from fedvoxel.evaluation.inference.memory import MemoryBound, resident_bytes
from fedvoxel.evaluation.inference.model import Model
from fedvoxel.evaluation.reading.doubt import doubt_of
from fedvoxel.review.desk import Desk
from fedvoxel.review.image_sources import StudyImage
from fedvoxel.review.model_case import predict_in_background
from fedvoxel.review.model_reading import base_reading, open_model_reading
from fedvoxel.review.reading import CaseVolumes
from fedvoxel.review.study import open_study, settings_of
from fedvoxel.review.study_export import export_study
from tests.dicom.dicom_checker import errors_in
from tests.evaluation.inference.bright_studies import DIRECTIONS, bright_model, bright_study, levels
from tests.evaluation.inference.calibration_sample import bright_calibration
from tests.review.reading_sample import Page, said, stroke, write_reading

RELEASE = "hippocampus 1.0.0 is candidate."


def desk_on(
    model: Model,
    cohort: Path,
    folder: Path,
    series: int | None = None,
    blinded: bool = False,
    readers: tuple[str, ...] = ("anna",),
) -> Desk:
    """Opens a reading of the model's results, and waits until the model was used on all of it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    reading, cases = open_model_reading(model, base_reading(model, str(cohort), folder, None, series), folder)
    reading = replace(reading, remarks=(RELEASE,))
    desk = Desk(reading, open_study(folder, settings_of(reading, readers, blinded, 0)))
    predict_in_background(cases, model).join()
    return desk


def answer(page: Page, case: str, facts: dict, verdict: str) -> None:
    body = {"visit": facts["visit"], "active_s": 1.0, "said": said(model=verdict)}
    sent = page.post(f"/api/cases/{case}/answer", body)
    assert sent.status_code == 200, sent.text


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_is_accepted_and_corrected_lies_on_the_right_voxels(tmp_path: Path, direction: str) -> None:
    codes = levels()
    bright_study(tmp_path / "cohort", direction, codes, PatientName="Miller^Mary", BodyPartExamined="HEAD")
    desk = desk_on(bright_model(tmp_path), tmp_path / "cohort", tmp_path / "study")
    page = Page(desk)
    (listed,) = page.get("/api/reading").json()["cases"]
    case = listed["case"]
    facts = page.visit(case)
    assert facts["candidates"] == ["model"] and facts["uncertainty"]
    assert facts["volumes_ml"]["model"]["anterior"] > 0
    assert "Miller" not in page.get("/api/reading").text + str(facts)
    answer(page, case, facts, "accept")
    accepted = export_study(desk.study, tmp_path / "accepted")
    assert (accepted.segmentations, accepted.corrected) == (1, 0)
    segmentation = segread(next((tmp_path / "accepted" / "segmentations").iterdir()))
    volume = segmentation.get_volume(combine_segments=True, dtype=np.uint8)
    shown = desk.at("anna", case).shown.volumes
    assert shown.origin is not None
    # The sample's model tells structures by brightness alone: 100, 600 and 1100.
    truth = shown.origin.image.to_grid((shown.image.voxels - 100) / 500)
    assert np.array_equal(volume.match_geometry(shown.origin.image.geometry).array, truth)
    assert np.array_equal(np.unique(truth, return_counts=True), np.unique(codes, return_counts=True))
    assert segmentation.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    page.post(f"/api/cases/{case}/begin", {"visit": facts["visit"], "active_s": 1, "candidate": "model", "revision": 0})
    assert page.edit(case, facts, 1, action="paint", stroke=stroke(index=1, points=[[2, 2]])).status_code == 200
    answer(page, case, facts, "correct")
    export_study(desk.study, tmp_path / "corrected")
    segmentation = segread(next((tmp_path / "corrected" / "segmentations").iterdir()))
    found = segmentation.get_volume(combine_segments=True, dtype=np.uint8).match_geometry(shown.origin.image.geometry)
    correction = desk.at("anna", case).correction
    assert correction is not None
    assert np.array_equal(shown.origin.image.to_grid(found.array), correction.label)
    assert not np.array_equal(found.array, truth)
    assert segmentation.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert segmentation.PatientName == "Miller^Mary" and "corrected, anna" in segmentation.SeriesDescription
    (path,) = (tmp_path / "corrected" / "reports").iterdir()
    report = dcmread(path)
    assert errors_in(path) == [] and errors_in(next((tmp_path / "corrected" / "segmentations").iterdir())) == []
    said = [str(one.value) for one in report.iterall() if one.keyword in ("TextValue", "ReferencedSOPInstanceUID")]
    assert any("A reader corrected the outline" in one for one in said) and segmentation.SOPInstanceUID in said
    # Both structures' volumes are those of the correction.
    spacing = np.abs(np.linalg.det(shown.image.affine[:3, :3])) / 1000
    volumes = [np.count_nonzero(correction.label == code) * spacing for code in (1, 2)]
    values = [float(one.value) for one in report.iterall() if one.keyword == "NumericValue"]
    assert all(any(value == pytest.approx(volume, rel=1e-3) for value in values) for volume in volumes)


def test_what_is_rejected_leaves_no_segmentation(tmp_path: Path) -> None:
    bright_study(tmp_path / "cohort")
    desk = desk_on(bright_model(tmp_path), tmp_path / "cohort", tmp_path / "study")
    page = Page(desk)
    case = desk.reading.cases[0].case
    answer(page, case, page.visit(case), "reject")
    assert export_study(desk.study, tmp_path / "export").segmentations == 0
    assert list((tmp_path / "study").rglob("*.dcm")) == []


def result_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.dcm")}


def test_what_is_rejected_later_leaves_the_export_and_is_said(tmp_path: Path) -> None:
    bright_study(tmp_path / "cohort")
    desk = desk_on(bright_model(tmp_path), tmp_path / "cohort", tmp_path / "study")
    page, out = Page(desk), tmp_path / "export"
    case = desk.reading.cases[0].case
    answer(page, case, page.visit(case), "accept")
    assert export_study(desk.study, out).remarks == ()
    assert result_files(out) == {f"{kind}/{case}-anna.dcm" for kind in ("segmentations", "reports")}
    stored = {str(dcmread(path).SeriesInstanceUID) for path in out.rglob("*.dcm")}
    answer(page, case, page.visit(case), "reject")
    (remark,) = export_study(desk.study, out).remarks
    assert result_files(out) == set() and f"other results of {case}-anna" in remark
    answer(page, case, page.visit(case), "accept")
    assert f"other results of {case}-anna" in export_study(desk.study, out).remarks[-1]
    earlier = json.loads((out / "exported.json").read_text())["earlier"]
    assert {uid for uids in earlier.values() for uid in uids} == stored
    assert not stored & {str(dcmread(path).SeriesInstanceUID) for path in out.rglob("*.dcm")}


def test_what_is_unsaved_alone_leaves_nothing_in_the_export(tmp_path: Path) -> None:
    bright_study(tmp_path / "cohort")
    desk = desk_on(bright_model(tmp_path), tmp_path / "cohort", tmp_path / "study")
    page, out = Page(desk), tmp_path / "export"
    case = desk.reading.cases[0].case
    answer(page, case, page.visit(case), "accept")
    export_study(desk.study, out)
    facts = page.visit(case)
    body = {"visit": facts["visit"], "active_s": 1, "candidate": "model", "revision": 0}
    assert page.post(f"/api/cases/{case}/begin", body).status_code == 200
    with pytest.raises(ReviewError, match="anna changed it after the answer"):
        export_study(desk.study, out)
    assert result_files(out) == set()


def test_results_of_two_readers_are_told_apart(tmp_path: Path) -> None:
    bright_study(tmp_path / "cohort")
    desk = desk_on(bright_model(tmp_path), tmp_path / "cohort", tmp_path / "study", readers=("anna", "ben"))
    case = desk.reading.cases[0].case
    for reader in ("anna", "ben"):
        page = Page(desk, reader)
        answer(page, case, page.visit(case), "accept")
    assert export_study(desk.study, tmp_path / "export").remarks == ()
    for reader in ("anna", "ben"):
        paths = [tmp_path / "export" / kind / f"{case}-{reader}.dcm" for kind in ("segmentations", "reports")]
        segmentation, report = (dcmread(path) for path in paths)
        assert [errors_in(path) for path in paths] == [[], []]
        assert segmentation.ContentCreatorName == f"{reader}^"
        assert segmentation.SeriesDescription.endswith(f"segmentation, {reader}, research use only")
        assert report.SeriesDescription.endswith(f"report, {reader}, research use only")
        # Source: PS3.16 TID 1002 and TID 1003.
        said = {one.ConceptNameCodeSequence[0].CodeValue: one for one in report.ContentSequence}
        assert said["121008"].PersonName == f"{reader}^" and "121012" in said


def test_what_readers_disagree_about_is_stored_once_somebody_says_whose(tmp_path: Path) -> None:
    bright_study(tmp_path / "cohort")
    desk = desk_on(bright_model(tmp_path), tmp_path / "cohort", tmp_path / "study", readers=("anna", "ben", "cleo"))
    case, out = desk.reading.cases[0].case, tmp_path / "export"
    for reader, verdict in (("anna", "accept"), ("ben", "reject"), ("cleo", "accept")):
        page = Page(desk, reader)
        answer(page, case, page.visit(case), verdict)
    exported = export_study(desk.study, out)
    assert result_files(out) == set() and (exported.answers, exported.segmentations) == (3, 0)
    assert [f"{case}: ben rejected" in remark for remark in exported.remarks] == [True]
    assert json.loads((out / "study.json").read_text())["withheld"] == [case]
    assert export_study(desk.study, out, "cleo").remarks == ()
    assert result_files(out) == {f"{kind}/{case}-cleo.dcm" for kind in ("segmentations", "reports")}
    assert export_study(desk.study, out, "ben").segmentations == 0 and result_files(out) == set()
    with pytest.raises(ReviewError, match="one of the study's readers, anna, ben, cleo"):
        export_study(desk.study, out, "dora")


def test_a_study_of_another_body_part_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    for number, part in enumerate(("HEAD", "FOOT")):
        bright_study(
            tmp_path / "cohort" / str(number),
            BodyPartExamined=part,
            StudyInstanceUID=f"1.2.3.{number}",
            SeriesInstanceUID=f"1.2.4.{number}",
        )
    desk = desk_on(bright_model(tmp_path), tmp_path / "cohort", tmp_path / "study")
    page = Page(desk)
    waiting = {case["case"]: case["waiting"] for case in page.get("/api/reading").json()["cases"]}
    (refused,) = [case for case, why in waiting.items() if why]
    assert "FOOT" in (waiting[refused] or "")
    assert page.post(f"/api/cases/{refused}/visit").status_code == 422
    (other,) = set(waiting) - {refused}
    assert page.visit(other)["candidates"] == ["model"]


def test_the_model_is_used_once_and_names_stay_the_same(tmp_path: Path) -> None:
    bright_study(tmp_path / "cohort")
    model = bright_model(tmp_path)
    first = desk_on(model, tmp_path / "cohort", tmp_path / "study")
    (made,) = (tmp_path / "study" / "predicted").rglob("label.nii.gz")
    before = made.stat().st_mtime_ns
    again = desk_on(model, tmp_path / "cohort", tmp_path / "study")
    assert [case.case for case in again.reading.cases] == [case.case for case in first.reading.cases]
    assert made.stat().st_mtime_ns == before
    other = desk_on(model, tmp_path / "cohort", tmp_path / "elsewhere")
    assert other.reading.cases[0].case != first.reading.cases[0].case
    (tmp_path / "study" / "predicted").rename(tmp_path / "gone")
    assert desk_on(model, tmp_path / "cohort", tmp_path / "study").reading.cases[0].waiting is None


def test_a_prepared_reading_gets_the_models_label_map_beside_its_own(tmp_path: Path) -> None:
    folder = write_reading(tmp_path / "prepared", cases=1)
    text = (folder / "reading.json").read_text()
    names = [{"name": "anterior"}, {"name": "posterior"}]
    for old, new in zip(("organ", "lesion"), names, strict=True):
        text = text.replace(f'"name": "{old}"', f'"name": "{new["name"]}"')
    (folder / "reading.json").write_text(text.replace('"model":', '"drawn":'))
    model = bright_model(tmp_path)
    desk = desk_on(model, folder, tmp_path / "study")
    facts = Page(desk).visit(desk.reading.cases[0].case)
    assert facts["candidates"] == ["model", "drawn", "manual"]
    (folder / "reading.json").write_text(text)
    with pytest.raises(ReviewError, match="called model already"):
        desk_on(model, folder, tmp_path / "other")
    (folder / "reading.json").write_text(text.replace("anterior", "medial"))
    with pytest.raises(ReviewError, match="other structures"):
        desk_on(model, folder, tmp_path / "other")


def test_nifti_files_are_read_under_pseudonyms(tmp_path: Path) -> None:
    cohort = tmp_path / "cohort"
    cohort.mkdir()
    source = write_reading(tmp_path / "prepared", cases=1)
    (source / "case-000000000000" / "image.nii.gz").rename(cohort / "mary_miller.nii.gz")
    desk = desk_on(bright_model(tmp_path), cohort, tmp_path / "study")
    page = Page(desk)
    (case,) = [case.case for case in desk.reading.cases]
    facts = page.visit(case)
    assert case.startswith("case-") and "mary" not in str(facts) + page.get("/api/reading").text + repr(desk.reading)
    assert any("modality" in remark for remark in facts["remarks"])
    with pytest.raises(ReviewError, match="there is none"):
        desk_on(bright_model(tmp_path), tmp_path / "nowhere", tmp_path / "other")


def test_a_calibrated_model_shows_calibrated_doubt_and_what_is_estimated(tmp_path: Path) -> None:
    calibration = bright_calibration(tmp_path / "plain")
    calibrated = bright_model(tmp_path, members={"calibration.json": calibration.model_dump_json().encode()})
    bright_study(tmp_path / "cohort", codes=levels(seed=99), BodyPartExamined="HEAD")
    shown, said = {}, {}
    for name, model in {"plain": bright_model(tmp_path / "plain"), "calibrated": calibrated}.items():
        desk = desk_on(model, tmp_path / "cohort", tmp_path / f"{name}-study")
        case = desk.reading.cases[0].case
        said[name] = Page(desk).visit(case)["remarks"]
        shown[name] = desk.at("anna", case).shown.uncertainty()
    assert said["plain"] == [RELEASE]
    estimates = " ".join(said["calibrated"])
    assert " hippocampus as the model found it: volume " in estimates and "estimated Dice" in estimates
    assert not np.allclose(shown["plain"], shown["calibrated"], atol=1e-4)


@pytest.mark.parametrize("blinded", [False, True])
def test_what_must_be_known_is_in_the_report_and_on_the_page_where_it_does_not_unblind(
    tmp_path: Path, blinded: bool
) -> None:
    calibration = bright_calibration(tmp_path / "plain")
    model = bright_model(tmp_path, members={"calibration.json": calibration.model_dump_json().encode()})
    bright_study(tmp_path / "cohort", codes=levels(seed=99))
    desk = desk_on(model, tmp_path / "cohort", tmp_path / "study", blinded=blinded)
    page, case = Page(desk), desk.reading.cases[0].case
    facts = page.visit(case)
    image, of_model = "The header names no body part", " as the model found it: volume "
    shown = " ".join(facts["remarks"])
    assert image in shown and (of_model in shown, RELEASE in shown) == (not blinded, not blinded)
    assert page.get("/api/reading").json()["remarks"] == ([] if blinded else [RELEASE])
    name = facts["candidates"][0]
    sent = {"visit": facts["visit"], "active_s": 1}
    for verdict in ["accept"] if blinded else ["accept", "correct"]:
        if verdict == "correct":
            page.post(f"/api/cases/{case}/begin", {**sent, "candidate": name, "revision": 0})
            page.edit(case, facts, 1, action="paint", stroke=stroke(index=1, points=[[2, 2]]))
        done = page.post(f"/api/cases/{case}/answer", {**sent, "said": said(**{name: verdict})})
        assert done.status_code == 200, done.text
        newest = max((tmp_path / "study").rglob("report-*.dcm"))
        texts = [str(one.value) for one in dcmread(newest).iterall() if one.keyword == "TextValue"]
        assert errors_in(newest) == []
        assert RELEASE in texts and any(image in text for text in texts)
        (estimate,) = {text for text in texts if "anterior hippocampus" + of_model in text}
        assert estimate.startswith("Before the correction: ") == (verdict == "correct")


def test_an_image_that_is_unlike_all_training_images_is_not_shown_with_an_outline(tmp_path: Path) -> None:
    calibration = bright_calibration(tmp_path / "plain")
    calibrated = bright_model(tmp_path, members={"calibration.json": calibration.model_dump_json().encode()})
    codes = np.zeros_like(levels())
    codes[:, :2] = 1
    bright_study(tmp_path / "cohort", codes=codes)
    desk = desk_on(calibrated, tmp_path / "cohort", tmp_path / "study")
    assert "unlike those that the model was trained on" in str(desk.reading.cases[0].waiting)


def test_doubt_is_the_entropy_as_a_share_of_the_largest() -> None:
    shares = np.array([[1.0, 0.25, 0.5], [0.0, 0.25, 0.5], [0.0, 0.25, 0.0], [0.0, 0.25, 0.0]], dtype=np.float32)
    found = doubt_of(shares.reshape(4, 3, 1, 1)).ravel()
    assert found == pytest.approx([0.0, 1.0, 0.5], abs=1e-5)


def test_segmentations_are_whole_dicom_files(tmp_path: Path) -> None:
    bright_study(tmp_path / "cohort")
    desk = desk_on(bright_model(tmp_path), tmp_path / "cohort", tmp_path / "study")
    page = Page(desk)
    case = desk.reading.cases[0].case
    answer(page, case, page.visit(case), "accept")
    (path,) = (tmp_path / "study").rglob("segmentation-*.dcm")
    assert dcmread(path).Modality == "SEG" and path.stat().st_mode & 0o077 == 0


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(desk: Desk, folder: Path, words: str) -> None:
    """Opens the only case, which must be refused in those words, with nothing changed on the disk."""
    page, before = Page(desk), content_of(folder)
    answer = page.post(f"/api/cases/{desk.reading.cases[0].case}/visit")
    assert answer.status_code == 422 and words in answer.json()["error"] and "--out" in answer.json()["error"]
    assert content_of(folder) == before


OTHERS = "not those that the kept work is of"


def test_another_series_of_the_same_study_gets_no_label_of_the_first(tmp_path: Path) -> None:
    for number in (1, 2):
        uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": f"1.2.4.{number}", "SeriesNumber": number}
        bright_study(tmp_path / "cohort" / str(number), codes=levels(seed=number), **uids)
    model, cohort, study = bright_model(tmp_path), tmp_path / "cohort", tmp_path / "study"
    first = desk_on(model, cohort, study, series=1)
    refused(desk_on(model, cohort, study, series=2), study, OTHERS)
    assert Page(first).visit(first.reading.cases[0].case)["candidates"] == ["model"]


@pytest.mark.parametrize("kept", ["the model's label", "the reader's work"])
def test_work_on_a_file_that_was_exchanged_is_not_shown_on_the_new_one(tmp_path: Path, kept: str) -> None:
    cohort, study = tmp_path / "cohort", tmp_path / "study"
    cohort.mkdir()
    prepared = write_reading(tmp_path / "prepared", cases=2)
    images = [prepared / f"case-{number:012x}" / "image.nii.gz" for number in range(2)]
    (cohort / "scan.nii.gz").write_bytes(images[0].read_bytes())
    (cohort / "other.nii.gz").write_bytes(images[1].read_bytes())
    model = bright_model(tmp_path)
    desk = desk_on(model, cohort, study)
    scan = desk.reading.cases[1].case
    page = Page(desk)
    facts = page.visit(scan)
    answer(page, scan, facts, "accept")
    (cohort / "scan.nii.gz").write_bytes(images[1].read_bytes())
    predicted = next((study / "predicted").glob(f"*/{scan}"))
    if kept == "the reader's work":
        predicted.rename(tmp_path / "gone")
    else:
        (study / "readers").rename(tmp_path / "gone")
    again = desk_on(model, cohort, study)
    page, before = Page(again), content_of(study)
    sent = page.post(f"/api/cases/{scan}/visit")
    assert sent.status_code == 422 and OTHERS in sent.json()["error"]
    assert content_of(study) == before
    assert page.visit(again.reading.cases[0].case)["candidates"] == ["model"]
    (cohort / "scan.nii.gz").write_bytes(images[0].read_bytes())
    assert kept == "the reader's work" or Page(desk_on(model, cohort, study)).visit(scan)["candidates"] == ["model"]


def test_a_prediction_of_a_version_that_did_not_note_its_images_is_not_shown(tmp_path: Path) -> None:
    bright_study(tmp_path / "cohort")
    model, study = bright_model(tmp_path), tmp_path / "study"
    desk_on(model, tmp_path / "cohort", study)
    (done,) = (study / "predicted").rglob("done.json")
    done.write_text('{"schema_version": 1, "remarks": []}')
    refused(desk_on(model, tmp_path / "cohort", study), study, "did not note which images")


def test_an_image_that_does_not_fit_into_memory_is_refused_before_it_is_read(
    tmp_path: Path,
) -> None:
    """The header of one file claims a volume of 16 GiB; the other, and what a bound has room for, go on."""
    cohort = tmp_path / "cohort"
    cohort.mkdir()
    huge = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    huge.header["dim"][1:4] = 1600
    (cohort / "huge.nii").write_bytes(huge.header.binaryblock + bytes(4))
    source = write_reading(tmp_path / "prepared", cases=1)
    (source / "case-000000000000" / "image.nii.gz").rename(cohort / "small.nii.gz")
    model = bright_model(tmp_path)
    bound = MemoryBound(resident_bytes() // 2**20 + 1024)
    model = replace(model, predictor=replace(model.predictor, bound=bound))
    desk = desk_on(model, cohort, tmp_path / "study")
    waiting = [case.waiting for case in desk.reading.cases]
    assert waiting[1] is None and "preparing the image would take about" in str(waiting[0])


@pytest.mark.parametrize("error", [MemoryError("of mary_miller"), RuntimeError("of mary_miller")])
def test_whatever_goes_wrong_with_a_case_is_that_cases_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for number in range(2):
        uids = {"StudyInstanceUID": f"1.2.3.{number}", "SeriesInstanceUID": f"1.2.4.{number}"}
        bright_study(tmp_path / "cohort" / str(number), codes=levels(seed=number), **uids)
    monkeypatch.setattr(StudyImage, "load", failing_once(StudyImage.load, error))
    desk = desk_on(bright_model(tmp_path), tmp_path / "cohort", tmp_path / "study")
    assert [case.waiting for case in desk.reading.cases] == [f"Cannot be shown: {type(error).__name__}", None]
    page, case = Page(desk), desk.reading.cases[1].case
    monkeypatch.setattr(StudyImage, "load", failing_once(StudyImage.load, error))
    sent = page.post(f"/api/cases/{case}/visit")
    assert sent.status_code == 422 and sent.json()["error"] == f"this case cannot be shown ({type(error).__name__})"
    assert page.visit(case)["candidates"] == ["model"]


def failing_once(load: Callable[[StudyImage], CaseVolumes], error: Exception) -> Callable[[StudyImage], CaseVolumes]:
    """Fails as a library may, whatever it is, and then works."""
    left = [error]

    def loaded(self: StudyImage) -> CaseVolumes:
        if left:
            raise left.pop()
        return load(self)

    return loaded
