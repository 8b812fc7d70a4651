"""A view that is undone lies where it was, and only views that a model was trained to endure are made."""

import numpy as np
import pytest
from pydantic import ValidationError

from fedvoxel.evaluation.uncertainty.probability import band_of, dice_of, entropy_of, labels_of, tempered
from fedvoxel.evaluation.uncertainty.views import View, plan_views, views_of
from fedvoxel.federation.calibration.plan import ViewPlan
from fedvoxel.training.config import TrainingConfig

ROI = {"roi_size": [16, 16, 16]}


def config(**augmentation: object) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {
            "network": {"name": "UNet"},
            "sampling": {"kind": "whole", "size": [16, 16, 16]},
            "inference": ROI,
            "augmentation": augmentation,
        }
    )


@pytest.mark.parametrize("view", [View(flip_axis=0), View(flip_axis=2), View(shift=(2, -1, 1)), View(scale=1.1)])
def test_what_was_found_on_a_view_comes_back_to_its_place(view: View) -> None:
    image = np.random.default_rng(1).normal(size=(1, 9, 8, 7)).astype(np.float32)
    back = view.undone(view.changed(image)) / np.float32(view.scale)
    inner = (slice(None), *(slice(2, -2),) * 3)
    np.testing.assert_allclose(back[inner], image[inner], rtol=1e-6)
    assert not np.array_equal(view.changed(image), image)


def test_a_side_is_flipped_only_where_training_flipped_it() -> None:
    assert plan_views(config()).flip_axes == ()
    assert plan_views(config(flip_axes=[0])).flip_axes == (0,)
    assert plan_views(config(shift_voxels=3)).shift_voxels == 2 and plan_views(config()).shift_voxels == 1
    assert len(list(views_of(ViewPlan(flip_axes=(0, 1), shift_voxels=1, intensity_scale=0.1)))) == 8
    with pytest.raises(ValidationError, match="at least one kind"):
        ViewPlan(flip_axes=(), shift_voxels=0, intensity_scale=0)
    with pytest.raises(ValidationError, match="twice"):
        ViewPlan(flip_axes=(1, 1))


def test_tempering_is_dividing_logits_and_changes_no_label() -> None:
    logits = np.random.default_rng(2).normal(0, 3, (4, 5, 6, 7))
    chance, half = (np.exp(one) / np.exp(one).sum(axis=0) for one in (logits, logits / 2))
    found = tempered(chance.astype(np.float32), 2.0)
    np.testing.assert_allclose(found, half, rtol=1e-4)
    np.testing.assert_array_equal(labels_of(found), chance.argmax(axis=0))
    assert tempered(found, 1.0) is found


def test_entropy_is_zero_where_sure_and_one_where_nothing_is_known() -> None:
    chance = np.zeros((3, 2, 1, 1), np.float32)
    chance[0, 0], chance[:, 1] = 1, 1 / 3
    np.testing.assert_allclose(entropy_of(chance).ravel(), [0, 1], atol=1e-5)
    assert band_of(chance).ravel().tolist() == [False, True]
    nothing = np.zeros(3, np.bool_)
    assert dice_of(nothing, nothing) is None and dice_of(nothing, ~nothing) == 0
