"""A sign of drift is sure where images have changed, and rare where nothing has."""

import numpy as np
import pytest

from fedvoxel.federation.calibration.plan import Spread
from fedvoxel.federation.calibration.score_counts import ScoreCounts, add_counts, count_scores
from fedvoxel.federation.drift.signs import Sign, sign_of_images, sign_of_unusual, sign_of_volume, sure_signs

EDGES = tuple(np.linspace(0.2, 4.0, 60))
USUAL = Spread(mean=1.0, deviation=0.3)


def distances(count: int, seed: int, factor: float = 1.0) -> list[float]:
    """Distances of images that are alike, or farther by a factor."""
    return list(factor * np.random.default_rng(seed).gamma(16.0, 1 / 16.0, count))


def reference(seed: int = 0) -> ScoreCounts:
    return count_scores(distances(120, seed), EDGES, 5)


def small_hospitals(seed: int) -> ScoreCounts:
    """Six hospitals with eleven patients each: cells of five move most of their scores far up."""
    return add_counts([count_scores(distances(11, seed + 100 * site), EDGES, 5) for site in range(6)])


def test_where_nothing_has_changed_a_sign_is_chance() -> None:
    signs = [sign_of_images(distances(25, seed), reference(seed + 1000)) for seed in range(40)]
    assert sum(sign.chance < 0.01 for sign in signs) <= 2
    assert 0.3 < np.mean([sign.chance for sign in signs]) < 0.8


def test_where_nothing_has_changed_scores_that_small_hospitals_moved_up_are_no_sign() -> None:
    """A comparison of the two distributions, a population stability index say, would alarm at most of these."""
    signs = [sign_of_images(distances(60, seed), small_hospitals(seed + 1000)) for seed in range(40)]
    assert not any(sign.chance < 0.01 and sign.matters for sign in signs)
    assert sign_of_images(distances(60, 3, 1.7), small_hospitals(5)).chance < 0.001


def test_images_that_are_farther_away_are_a_sign() -> None:
    sign = sign_of_images(distances(60, 3, 1.5), reference())
    assert sign.chance < 0.001 and sign.size > 0.8 and sign.matters


@pytest.mark.parametrize("far", [4.0, 9.0, 1e6])
def test_images_beyond_every_cell_are_counted(far: float) -> None:
    assert sign_of_images([far] * 30, reference()).chance < 0.001


def test_the_same_images_give_the_same_chance() -> None:
    assert sign_of_images(distances(30, 1), reference()) == sign_of_images(distances(30, 1), reference())


def unusual(count: int, images: int, patients: int) -> Sign:
    sign = sign_of_unusual(count, images, patients, 0.95)
    assert sign is not None
    return sign


def test_more_unusual_images_than_expected_are_a_sign() -> None:
    few, many, small = (unusual(*counts) for counts in ((1, 20, 400), (12, 40, 400), (40, 500, 4000)))
    assert few.chance > 0.5
    assert many.chance < 1e-5 and many.matters and many.size == 0.3
    assert small.chance < 0.01 and not small.matters, "sure, and too small to matter"


def test_a_limit_from_few_patients_makes_less_sure() -> None:
    """The limit is a rank among those patients: of 20, it may well lie where 88 of 100 images are within."""
    assert unusual(6, 40, 20).chance > 0.05 > unusual(6, 40, 2000).chance
    assert sign_of_unusual(6, 40, 18, 0.95) is None


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
