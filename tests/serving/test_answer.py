"""What a reply holds is what `fedvoxel predict` finds in the same image, and is refused where that refuses."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from fedvoxel.errors import FedVoxelError, GeometryError, PredictionError
from fedvoxel.evaluation.inference.memory import MIB, MemoryBound, resident_bytes
from fedvoxel.evaluation.inference.model import Model
from fedvoxel.evaluation.inference.run import Job, predict_nifti
from fedvoxel.serving.answer import Answerer
from fedvoxel.serving.question import OUTPUTS
from fedvoxel.serving.refusal import refusal_of
from fedvoxel.serving.standing import Standing
from tests.evaluation.inference.bright_studies import SHAPE, bright_model, levels
from tests.evaluation.inference.calibration_sample import bright_calibration
from tests.serving.asked import AFFINE, SIZE, codes_of, image_of, question

OTHER_GRID = {"plan": {"spacing_mm": (1.5, 1.5, 1.5), "orientation": "LPI"}}


def answerer(model: Model, *remarks: str) -> Answerer:
    return Answerer(model, Standing(lambda: remarks))


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return bright_model(tmp_path)


def predicted(
    model: Model, folder: Path, image: np.ndarray[Any, Any], affine: np.ndarray[Any, Any] = AFFINE
) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    """What `fedvoxel predict` makes of a NIfTI file with the same voxels and affine: the label, and the summary."""
    path = folder / "scan.nii"
    nibabel.save(nibabel.Nifti1Image(image, affine), path)
    outcome = predict_nifti(path, Job(model, folder / "out", remarks=("Said before.",), maps=True))
    summary = json.loads((outcome.folder / "summary.json").read_text())
    return np.asarray(nibabel.load(outcome.folder / "label.nii.gz").dataobj), summary


@pytest.mark.parametrize("changes", [{}, OTHER_GRID])
def test_the_label_is_the_one_of_predict_voxel_for_voxel(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = bright_model(tmp_path, **changes)
    image = image_of(codes_of())
    label, summary = predicted(model, tmp_path, image)
    answer = answerer(model, "Said before.").answer(question(image, parameters={"quick": False}))
    np.testing.assert_array_equal(answer.tensors["label"], label)
    assert answer.tensors["label"].dtype == np.uint8
    (said,) = answer.results
    assert said["remarks"] == summary["remarks"] and said["assessment"] is None
    assert answer.tensors["volumes_ml"].tolist() == [one["volume_ml"] for one in summary["structures"]]
    assert [one["label"] for one in said["structures"]] == ["anterior hippocampus", "posterior hippocampus"]
    if not changes:
        np.testing.assert_array_equal(answer.tensors["label"], codes_of())


def test_probabilities_and_entropy_lie_on_the_images_own_grid(tmp_path: Path) -> None:
    answer = answerer(bright_model(tmp_path, **OTHER_GRID)).answer(question(image_of(codes_of()), *OUTPUTS))
    probabilities, entropy = answer.tensors["probabilities"], answer.tensors["entropy"]
    assert list(answer.tensors) == list(OUTPUTS)
    assert probabilities.shape == (3, *SIZE) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=0), 1.0, atol=1e-5)
    assert entropy.shape == SIZE and entropy.dtype == np.float32
    assert 0 <= entropy.min() < 0.1 and 0.3 < entropy.max() <= 1
    sure = probabilities.max(axis=0) > 0.999
    assert entropy[sure].max() < entropy[~sure].max()


def test_several_images_are_answered_each_as_if_it_were_alone(model: Model) -> None:
    images = [image_of(codes_of(seed)) for seed in range(3)]
    answer = answerer(model).answer(question(np.stack(images)))
    assert answer.tensors["label"].shape == (3, *SIZE) and answer.tensors["volumes_ml"].shape == (3, 2)
    for index, image in enumerate(images):
        alone = answerer(model).answer(question(image))
        np.testing.assert_array_equal(answer.tensors["label"][index], alone.tensors["label"])
        assert answer.results[index] == alone.results[0]


def test_a_calibrated_model_says_how_far_it_can_be_trusted(tmp_path: Path) -> None:
    calibration = bright_calibration(tmp_path / "plain")
    folder = tmp_path / "calibrated"
    folder.mkdir()
    model = bright_model(folder, members={"calibration.json": calibration.model_dump_json().encode()})
    image, affine = image_of(levels((SHAPE[2], SHAPE[1], SHAPE[0]))), np.diag([0.75, 1.25, 3.0, 1.0])
    _, summary = predicted(model, tmp_path, image, affine)
    asked = question(image, parameters={"quick": False}, affine=affine)
    (said,) = answerer(model, "Said before.").answer(asked).results
    assert said["assessment"] == summary["assessment"] and said["remarks"] == summary["remarks"]
    assert said["structures"][0]["interval_ml"] == summary["structures"][0]["interval_ml"]
    (quick,) = answerer(model).answer(question(image, parameters={"quick": True}, affine=affine)).results
    assert quick["assessment"]["structures"]["anterior hippocampus"]["estimated_dice"] is None
    smooth = np.add.outer(np.add.outer(np.arange(40), np.arange(40)), np.arange(40)).astype(np.float32)
    refused(lambda: answerer(model).answer(question(smooth)), "unlike_training", "unlike those")


def refused(ask: Callable[[], Any], reason: str, said: str, is_clients: bool = True) -> None:
    with pytest.raises(FedVoxelError) as caught:
        ask()
    refusal = refusal_of(caught.value)
    assert (refusal.reason, refusal.is_clients) == (reason, is_clients)
    assert refusal.text.startswith(f"{reason}: ") and said in refusal.text and "\n" not in refusal.text


def test_another_modality_or_body_part_is_refused_in_the_words_of_predict(model: Model) -> None:
    image = image_of(codes_of())
    for parameters, reason, said in (
        ({"modality": "CT"}, "wrong_modality", "the model was made for MR, not CT"),
        ({"modality": "DOE^JANE"}, "wrong_modality", "not another modality"),
        ({"body_part": "KNEE"}, "wrong_body_part", "the header says KNEE"),
    ):
        refused(lambda asked=parameters: answerer(model).answer(question(image, parameters=asked)), reason, said)  # type: ignore[misc]


def test_what_is_no_volume_is_refused(model: Model) -> None:
    good = question(image_of(codes_of()))
    holed = good.images.copy()
    holed[0, 1, 2, 3] = np.nan
    for change, reason in (
        ({"affines": good.affines * np.float64(0.001)}, "singular_affine"),
        ({"affines": np.diag([0.01, 1.0, 1.0, 1.0])[np.newaxis]}, "implausible_spacing"),
        ({"affines": np.full((1, 4, 4), np.nan)}, "singular_affine"),
        ({"images": holed}, "non_finite"),
        ({"images": np.ones_like(holed)}, "constant_image"),
        ({"images": holed[:, :1]}, "not_3d"),
    ):
        with pytest.raises(GeometryError) as caught:
            answerer(model).answer(replace(good, **change))  # type: ignore[arg-type]
        assert caught.value.reason == reason and refusal_of(caught.value).is_clients


def test_an_image_that_does_not_fit_is_refused_before_it_is_prepared(model: Model) -> None:
    bound = MemoryBound(resident_bytes() // MIB + 64)
    small = replace(model, predictor=replace(model.predictor, bound=bound))
    large = np.broadcast_to(np.float32(1), (256, 256, 256))
    before = resident_bytes()
    refused(lambda: answerer(small).answer(question(large)), "too_large_for_memory", "preparing the image")
    refused(lambda: answerer(small).answer(question(large, *OUTPUTS)), "too_large_for_memory", "the reply")
    assert resident_bytes() - before < 16 * MIB


def test_a_model_that_fails_is_no_fault_of_the_client(model: Model) -> None:
    class Broken:
        name, largest_batch = "broken", None

        def logits(self, batch: Any) -> Any:
            return np.full((len(batch), 3, *batch.shape[2:]), np.nan, np.float32)

    broken = replace(model, predictor=replace(model.predictor, runtime=Broken()))
    refused(lambda: answerer(broken).answer(question(image_of(codes_of()))), "not_finite", "not finite", False)


def test_of_what_nobody_expected_the_kind_alone_is_told() -> None:
    refusal = refusal_of(RuntimeError("Doe^Jane"))
    assert refusal.reason == "unexpected_error" and not refusal.is_clients
    assert "RuntimeError" in refusal.text and "Doe" not in refusal.text
    assert refusal_of(MemoryError("Doe^Jane")).reason == "out_of_memory"
    assert refusal_of(PredictionError("self_test", "differs")).is_clients is False


def test_it_says_which_package_speaks(model: Model) -> None:
    about = answerer(model).about()
    assert about["package_sha256"] == model.package.sha256 and about["use"] == "research use only"
    assert json.loads(json.dumps(about)) == about
