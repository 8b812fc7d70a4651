import numpy as np
import pytest

from fedvoxel.evaluation.judgement.confidence import reliability_of, truth_on_prepared
from fedvoxel.evaluation.judgement.summary import structure_result
from fedvoxel.volumes.plan import PreprocessingPlan, prepare, prepare_image
from fedvoxel.volumes.volume import LabelledVolume, Volume
from tests.evaluation.judgement.case_results import NAME, case

SHAPE = (20, 24, 16)


def drawn(said: np.ndarray, seed: int = 0) -> np.ndarray:
    """A truth that is as likely as is said."""
    return np.random.default_rng(seed).uniform(size=said.shape) < said


def ece(said: np.ndarray, truth: np.ndarray) -> float:
    found = structure_result(NAME, "Lesion", [case(0, reliability={NAME: reliability_of(said, truth)})])
    assert found.calibration.ece.value is not None
    return found.calibration.ece.value


def test_who_is_as_often_right_as_said_has_no_error() -> None:
    said = np.random.default_rng(1).uniform(0.05, 1.0, (60, 60, 60)).astype(np.float32)
    assert ece(said, drawn(said)) < 0.01


def test_who_is_too_sure_has() -> None:
    said = np.random.default_rng(1).uniform(0.05, 1.0, SHAPE).astype(np.float32)
    too_sure = (said > 0.5).astype(np.float32) * 0.9 + 0.05
    assert ece(too_sure, drawn(said)) > 0.15


def test_background_that_everybody_is_sure_of_is_no_part_of_it() -> None:
    said = np.full(SHAPE, 0.3, np.float32)
    truth = np.zeros(SHAPE, bool)
    alone = ece(said, truth)
    around = np.zeros((200, 24, 16), np.float32)
    around[:20] = said
    assert ece(around, np.zeros(around.shape, bool)) == alone == pytest.approx(0.3)


def test_what_is_overlooked_is() -> None:
    truth = np.ones(SHAPE, bool)
    assert ece(np.zeros(SHAPE, np.float32), truth) == 1.0


def test_brier_is_the_mean_square_over_the_band() -> None:
    said = np.array([[[0.01, 0.5, 0.9, 0.02]]], np.float32)
    truth = np.array([[[False, True, False, True]]])
    found = structure_result(NAME, "Lesion", [case(0, reliability={NAME: reliability_of(said, truth)})])
    assert found.calibration.brier.value == pytest.approx((0.5**2 + 0.9**2 + 0.98**2) / 3, rel=1e-6)
    assert found.calibration.overlooked.value == 0.5


@pytest.mark.parametrize("spacing", [None, (2.0, 1.5, 1.0)])
def test_the_truth_is_brought_to_the_grid_as_in_training(spacing: tuple[float, float, float] | None) -> None:
    random = np.random.default_rng(0)
    affine = np.array([[0, -1.0, 0, 5], [1.2, 0, 0, -7], [0, 0, 2.0, 3], [0, 0, 0, 1]])
    label = (random.uniform(size=SHAPE) > 0.6).astype(np.uint8)
    volume = LabelledVolume("case", Volume(random.uniform(0, 9, SHAPE).astype(np.float32), affine), label)
    plan = PreprocessingPlan(spacing_mm=spacing)
    found = truth_on_prepared(label, prepare_image(volume.image, plan), plan.orientation)
    np.testing.assert_array_equal(found, prepare(volume, plan).label)
