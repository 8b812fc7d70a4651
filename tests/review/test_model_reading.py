"""A signed model is used on studies in the background, and what a reader accepts or corrects becomes a segmentation."""

import json
from pathlib import Path

import numpy as np
import pytest
from highdicom.seg import segread
from pydicom import dcmread

from fedvoxel.errors import ReviewError
from fedvoxel.evaluation.inference.model import Model
from fedvoxel.evaluation.reading.doubt import doubt_of
from fedvoxel.review.desk import Desk
from fedvoxel.review.model_case import predict_in_background
from fedvoxel.review.model_reading import base_reading, open_model_reading
from fedvoxel.review.study import open_study, settings_of
from fedvoxel.review.study_export import export_study
from tests.dicom.dicom_checker import errors_in
from tests.evaluation.inference.bright_studies import DIRECTIONS, bright_model, bright_study, levels
from tests.evaluation.inference.calibration_sample import bright_calibration
from tests.review.reading_sample import Page, said, stroke, write_reading


def desk_on(model: Model, cohort: Path, folder: Path, readers: tuple[str, ...] = ("anna",)) -> Desk:
    """Opens a reading of the model's results, and waits until the model was used on all of it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    reading, cases = open_model_reading(model, base_reading(model, str(cohort), folder, None, None), folder)
    desk = Desk(reading, open_study(folder, settings_of(reading, readers, False, 0)))
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
    desk = desk_on(bright_model(tmp_path), tmp_path / "cohort", tmp_path / "study", ("anna", "ben"))
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
    desk = desk_on(bright_model(tmp_path), tmp_path / "cohort", tmp_path / "study", ("anna", "ben", "cleo"))
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
        said[name] = " ".join(Page(desk).visit(case)["remarks"])
        shown[name] = desk.at("anna", case).shown.volumes.uncertainty
    assert said["plain"] == ""
    assert " hippocampus as the model found it: volume " in said["calibrated"]
    assert "estimated Dice" in said["calibrated"]
    assert not np.allclose(shown["plain"], shown["calibrated"], atol=1e-4)


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
