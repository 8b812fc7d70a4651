"""Overlay pictures and charts, looked at pixel by pixel where it matters: which side is right."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fedvoxel.evaluation.charts import learning_curves, score_chart
from fedvoxel.evaluation.figures import Picture
from fedvoxel.evaluation.pictures import OverlayCase, overlay_picture
from fedvoxel.federation.outcome import ClassScore
from tests.sample_run import failed_outcome, sample_outcome

SHAPE = (24, 30, 18)


def _pixels(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB"))


def _case(truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> OverlayCase:
    image = np.random.default_rng(0).normal(100, 10, truth.shape).astype(np.float32)
    return OverlayCase(
        "case-3f2a91c0", "hospital-a", image, truth, prediction, (1.0, 1.0, 2.0), {"cord": 0.8, "gm": None}
    )


def _block(low: int, high: int) -> NDArray[np.uint8]:
    label = np.zeros(SHAPE, np.uint8)
    label[low:high, 10:20, 5:12] = 1
    return label


def _near(pixels: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(pixels.astype(int) - colour).sum(axis=2) < 30)


def test_outlines_of_truth_and_prediction_are_drawn_and_the_patients_right_is_on_the_left() -> None:
    picture = overlay_picture([_case(_block(2, 8), _block(15, 21))])
    pixels = _pixels(picture)
    axial = pixels[:, : pixels.shape[1] // 3]
    blue, orange = _near(axial, (0x56, 0xB4, 0xE9)), _near(axial, (0xE6, 0x9F, 0x00))
    # Low X is the patient's left, so the truth stands to the right of the prediction.
    assert np.nonzero(blue)[1].mean() > np.nonzero(orange)[1].mean()
    assert picture.shows_scan
    assert "case-3f2a91c0" in picture.alt


@pytest.mark.parametrize("shown", [0, 1])
def test_a_missed_or_invented_structure_is_still_drawn(shown: int) -> None:
    labels = [np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)]
    labels[shown] = _block(5, 12)
    pixels = _pixels(overlay_picture([_case(labels[0], labels[1])]))
    assert pixels.shape[0] > 300


def test_a_case_without_any_structure_is_drawn_whole() -> None:
    empty = np.zeros(SHAPE, np.uint8)
    assert overlay_picture([_case(empty, empty), _case(empty, empty)]).png.startswith(b"\x89PNG")


def test_refuses_no_case_and_arrays_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="at least one case"):
        overlay_picture([])
    with pytest.raises(ValueError, match="case-3f2a91c0: image, truth and prediction"):
        overlay_picture([_case(_block(2, 8), np.zeros((3, 3, 3), np.uint8))])


def test_learning_curves_say_their_course_in_words_and_are_repeatable() -> None:
    first, second = learning_curves(sample_outcome()), learning_curves(sample_outcome())
    assert first is not None
    assert first == second
    assert first.alt.startswith("Validation Dice by round: 0.5")


def test_a_run_without_scores_has_no_charts() -> None:
    assert learning_curves(failed_outcome()) is None
    assert score_chart({}) is None


def test_score_chart_leaves_out_what_is_not_known() -> None:
    scores = {"federated": {"hospital-a": {"cord": ClassScore(cases=1, dice_mean=0.8), "gm": ClassScore(cases=0)}}}
    picture = score_chart(scores)
    assert picture is not None
    assert picture.png.startswith(b"\x89PNG")
