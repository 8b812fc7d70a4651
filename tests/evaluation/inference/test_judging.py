"""A calibrated package says in summary and report how far a result can be trusted, and refuses what it never saw."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from pydicom import dcmread

from fedvoxel.errors import ConfigError, PackageError, PredictionError
from fedvoxel.evaluation.inference.model import Model
from fedvoxel.evaluation.inference.run import Job, predict_nifti, predict_study
from fedvoxel.evaluation.uncertainty.own_calibration import OwnCalibration, calibrate, with_own_calibration
from fedvoxel.federation.calibration.calibration import Calibration
from tests.dicom.dicom_checker import errors_in
from tests.evaluation.inference.bright_studies import SHAPE, bright_model, bright_study, levels, only_study
from tests.evaluation.inference.calibration_sample import bright_calibration, cases
from tests.export.package_sample import structure
from tests.volumes.scans import write_nifti


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    return bright_calibration(tmp_path_factory.mktemp("plain"))


def calibrated_job(folder: Path, calibration: Calibration, **options: object) -> Job:
    folder.mkdir(parents=True, exist_ok=True)
    members = {"calibration.json": calibration.model_dump_json().encode()}
    return Job(bright_model(folder, members=members), folder / "out", **options)  # type: ignore[arg-type]


def test_the_summary_and_the_report_say_how_far_a_result_can_be_trusted(
    tmp_path: Path, calibration: Calibration
) -> None:
    job = calibrated_job(tmp_path, calibration, maps=True, explain_s=1.0)
    study = only_study(bright_study(tmp_path / "study", codes=levels(seed=99), BodyPartExamined="HEAD"))
    outcome = predict_study(study, job)
    said = json.loads((outcome.folder / "summary.json").read_text())
    assert said["assessment"]["verdict"] == "alike" and said["assessment"]["calibration_patients"] == 12
    for one in said["assessment"]["structures"].values():
        assert 0 <= one["estimated_dice"] <= 1 and 0 < one["confidence"] <= 1
    assert all(one["interval_ml"][0] <= one["volume_ml"] <= one["interval_ml"][1] for one in said["structures"])
    report = outcome.folder / "report.dcm"
    assert errors_in(report) == []
    meanings = [str(element.value) for element in dcmread(report).iterall() if element.keyword == "CodeMeaning"]
    for wanted in ("Estimated Dice coefficient", "Mean calibrated probability", "Like the training images"):
        assert wanted in meanings
    for name in ("entropy", "disagreement", "confidence"):
        values = nibabel.load(outcome.folder / f"{name}.nii.gz").get_fdata()
        assert sorted(values.shape) == sorted(SHAPE) and 0 <= values.min() <= values.max() <= 1
    assert (outcome.folder / "explanation_1.nii.gz").is_file()


def test_without_views_there_is_no_estimate_but_the_rest(tmp_path: Path, calibration: Calibration) -> None:
    study = only_study(bright_study(tmp_path / "study", codes=levels(seed=98)))
    outcome = predict_study(study, calibrated_job(tmp_path, calibration, views=False, maps=True))
    assert outcome.assessment is not None and outcome.findings[0].interval is not None
    assert outcome.findings[0].numbers == () and "entropy.nii.gz" not in outcome.files


def test_a_file_that_is_nothing_like_the_training_images_is_refused_without_any_header(
    tmp_path: Path, calibration: Calibration
) -> None:
    smooth = np.add.outer(np.add.outer(np.arange(40), np.arange(40)), np.arange(40)).astype(np.int16)
    path = write_nifti(tmp_path / "scan.nii.gz", smooth)
    job = calibrated_job(tmp_path, calibration)
    with pytest.raises(PredictionError, match="unlike those that the model was trained on") as refused:
        predict_nifti(path, job)
    assert refused.value.reason == "unlike_training" and not list((tmp_path / "out").glob("*"))


def calibrated_model(folder: Path, calibration: Calibration, **changes: Any) -> Model:
    folder.mkdir(parents=True)
    return bright_model(folder, members={"calibration.json": calibration.model_dump_json().encode()}, **changes)


def own_file(folder: Path, own: OwnCalibration) -> Path:
    path = folder / "own.json"
    path.write_text(own.model_dump_json())
    return path


def test_a_hospital_uses_intervals_of_its_own(tmp_path: Path, calibration: Calibration) -> None:
    model = calibrated_model(tmp_path / "package", calibration)
    own = calibrate(cases(tmp_path, validation=10), model)
    made = own.calibration
    assert made.patients == 10 and made.hospitals == 1 and made.plan == calibration.plan
    assert made.volume_errors != calibration.volume_errors and made.quality == calibration.quality
    assert with_own_calibration(model, own_file(tmp_path, own)).calibration == made


def test_an_own_file_changes_the_intervals_and_no_limit(tmp_path: Path, calibration: Calibration) -> None:
    model = calibrated_model(tmp_path / "package", calibration)
    distances = calibration.distances
    lenient = distances.model_copy(update={"edges": tuple(100 * edge for edge in distances.edges)})
    plan = calibration.plan.model_copy(update={"temperature": 50.0})
    edited = calibration.model_copy(update={"distances": lenient, "plan": plan, "coverage": 0.5, "patients": 99})
    own = own_file(tmp_path, OwnCalibration(package_sha256=model.package.sha256, calibration=edited))
    used = with_own_calibration(model, own)
    assert used.calibration == calibration.model_copy(update={"patients": 99})
    smooth = np.add.outer(np.add.outer(np.arange(40), np.arange(40)), np.arange(40)).astype(np.int16)
    path = write_nifti(tmp_path / "scan.nii.gz", smooth)
    with pytest.raises(PredictionError) as refused:
        predict_nifti(path, Job(used, tmp_path / "out"))
    assert refused.value.reason == "unlike_training"


def test_a_package_without_a_calibration_takes_the_whole_of_ones_own(tmp_path: Path, calibration: Calibration) -> None:
    model = bright_model(tmp_path)
    own = OwnCalibration(package_sha256=model.package.sha256, calibration=calibration)
    assert with_own_calibration(model, own_file(tmp_path, own)).calibration == calibration


def test_an_own_file_of_another_package_is_refused(tmp_path: Path, calibration: Calibration) -> None:
    model = calibrated_model(tmp_path / "one", calibration)
    other = calibrated_model(tmp_path / "two", calibration, version="1.0.1")
    own = OwnCalibration(package_sha256=other.package.sha256, calibration=calibration)
    with pytest.raises(ConfigError, match="with another package or version"):
        with_own_calibration(model, own_file(tmp_path, own))
    (tmp_path / "plain.json").write_text(calibration.model_dump_json())
    with pytest.raises(ConfigError, match="package_sha256"):
        with_own_calibration(model, tmp_path / "plain.json")


def test_a_calibration_of_a_newer_version_is_refused(tmp_path: Path, calibration: Calibration) -> None:
    for name, change, said in (
        ("newer", {"schema_version": 2}, "of version 2"),
        ("more", {"note": "x"}, "note"),
        ("wrong", {"coverage": 1.5}, "coverage"),
    ):
        values = calibration.model_dump(mode="json") | change
        (tmp_path / name).mkdir()
        with pytest.raises(PackageError, match=said):
            bright_model(tmp_path / name, members={"calibration.json": json.dumps(values).encode()})


def test_a_calibration_of_other_structures_is_refused(tmp_path: Path, calibration: Calibration) -> None:
    with pytest.raises(PackageError, match="is of a model of anterior, posterior; this one finds anterior"):
        calibrated_model(tmp_path / "package", calibration, structures=[structure("anterior")])


def test_an_image_too_large_for_views_is_said_to_be(tmp_path: Path, calibration: Calibration) -> None:
    from fedvoxel.evaluation.inference import judging

    study = only_study(bright_study(tmp_path / "study", codes=levels(seed=97)))
    job = calibrated_job(tmp_path, calibration)
    tight = pytest.MonkeyPatch()
    tight.setattr(judging, "_FLOAT_BYTES", 2**40)
    try:
        outcome = predict_study(study, job)
    finally:
        tight.undo()
    assert any("too large for an estimate of quality" in remark for remark in outcome.remarks)
