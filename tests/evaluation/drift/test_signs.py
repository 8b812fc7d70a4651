"""A sign of drift is sure where images have changed, and rare where nothing has."""

import numpy as np
import pytest

from fedvoxel.evaluation.drift.signs import Sign, sign_of_images, sign_of_unusual, sign_of_volume, sure_signs
from fedvoxel.federation.calibration.plan import Spread
from fedvoxel.federation.calibration.score_counts import ScoreCounts, count_scores

EDGES = tuple(np.linspace(0.2, 4.0, 60))
USUAL = Spread(mean=1.0, deviation=0.3)


def distances(count: int, seed: int, factor: float = 1.0) -> list[float]:
    """Distances of images that are alike, or farther by a factor."""
    return list(factor * np.random.default_rng(seed).gamma(16.0, 1 / 16.0, count))


def reference(seed: int = 0) -> ScoreCounts:
    return count_scores(distances(120, seed), EDGES, 5)


def test_where_nothing_has_changed_a_large_index_of_few_images_is_no_sign() -> None:
    """By the customary limits (0.1, 0.25) most such looks would be a warning, and many an alarm."""
    signs = [sign_of_images(distances(25, seed), reference(seed + 1000)) for seed in range(40)]
    assert sum(sign.size > 0.1 for sign in signs) > 24 and sum(sign.size > 0.25 for sign in signs) > 5
    assert sum(sign.chance < 0.01 for sign in signs) <= 2
    assert 0.3 < np.mean([sign.chance for sign in signs]) < 0.8


def test_images_that_are_farther_away_are_a_sign() -> None:
    sign = sign_of_images(distances(60, 3, 1.5), reference())
    assert sign.chance < 0.001 and sign.size > 0.25 and sign.matters


@pytest.mark.parametrize("far", [4.0, 9.0, 1e6])
def test_images_beyond_every_cell_are_counted(far: float) -> None:
    assert sign_of_images([far] * 30, reference()).chance < 0.001


def test_the_same_images_give_the_same_chance() -> None:
    assert sign_of_images(distances(30, 1), reference()) == sign_of_images(distances(30, 1), reference())


def test_more_unusual_images_than_expected_are_a_sign() -> None:
    assert sign_of_unusual(1, 20, 0.05).chance > 0.5
    many = sign_of_unusual(12, 40, 0.05)
    assert many.chance < 1e-5 and many.matters and many.size == 0.3
    assert not sign_of_unusual(40, 500, 0.05).matters, "sure, and too small to matter"


@pytest.mark.parametrize(("factor", "sure"), [(1.0, False), (1.5, True), (0.6, True)])
def test_volumes_that_have_moved_are_a_sign(factor: float, sure: bool) -> None:
    volumes = factor * np.exp(np.random.default_rng(5).normal(1.0, 0.3, 50))
    sign = sign_of_volume("blob", list(volumes), USUAL, 100)
    assert (sign.chance < 0.001) == sure == sign.matters and (sign.size > 0) == (factor > 1 or sign.size > 0)


def test_few_training_cases_make_less_sure() -> None:
    volumes = [3.3] * 20
    assert sign_of_volume("blob", volumes, USUAL, 5).chance > sign_of_volume("blob", volumes, USUAL, 500).chance


def test_many_signs_at_once_are_held_to_a_stricter_bound() -> None:
    signs = [
        Sign(of="volume", structure=str(n), size=1.0, chance=chance, matters=True)
        for n, chance in enumerate((0.001, 0.004, 0.006, 0.5))
    ]
    assert [sign.structure for sign in sure_signs(signs, 0.01)] == ["0"]
    assert [sign.structure for sign in sure_signs(signs[1:2], 0.01)] == ["1"]
    small = [signs[0].model_copy(update={"matters": False})]
    assert sure_signs(small, 0.01) == []
