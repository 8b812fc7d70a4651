"""What hospitals add up gives what all cases in one place would have given."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fedvoxel.federation.calibration.likelihood import (
    BINS,
    TEMPERATURES,
    LikelihoodSums,
    ReliabilitySums,
    add_likelihoods,
    add_reliabilities,
)
from fedvoxel.federation.calibration.limits import REFUSE_FACTOR, limits_of
from fedvoxel.federation.calibration.moments import Moments, add_moments
from fedvoxel.federation.calibration.quality import TARGET, fit_hospitals, fit_quality
from fedvoxel.federation.calibration.resemblance import reference_of
from fedvoxel.federation.calibration.score_counts import count_scores

NAMES = ("a", "b", "c")


def rows(seed: int, count: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(count, 3)) @ np.array([[1.0, 0.5, 0], [0, 1, 0], [0, 0, 2]])


def test_moments_of_hospitals_are_those_of_all() -> None:
    parts = [rows(1, 12), rows(2, 30)]
    added = add_moments(Moments.of(NAMES, part) for part in parts)
    whole = np.concatenate(parts)
    assert added is not None and added.rows == 42
    np.testing.assert_allclose(added.mean, whole.mean(axis=0))
    np.testing.assert_allclose(added.covariance, np.cov(whole.T, bias=True))
    with pytest.raises(ValueError, match="different quantities"):
        add_moments([Moments.of(NAMES, parts[0]), Moments.of(("x", "y", "z"), parts[1])])


def test_the_distance_is_mahalanobis_where_there_are_many_cases() -> None:
    many = rows(3, 200_000)
    reference = reference_of(Moments.of(NAMES, many))
    point = np.array([1.0, -2.0, 3.0])
    off = point - many.mean(axis=0)
    expected = np.sqrt(off @ np.linalg.inv(np.cov(many.T)) @ off / 3)
    assert reference.distance(point) == pytest.approx(expected, rel=0.01)


def test_few_cases_and_a_constant_feature_still_give_a_distance() -> None:
    few = np.random.default_rng(4).normal(size=(20, 40))
    few[:, 0] = 1.0
    reference = reference_of(Moments.of([str(place) for place in range(40)], few))
    unseen = np.random.default_rng(5).normal(size=(200, 40))
    unseen[:, 0] = 1.0
    assert np.quantile([reference.distance(row) for row in unseen], 0.9) < 2
    unseen[:, 0] = 2.0
    assert min(reference.distance(row) for row in unseen) > 2.5


def test_ridge_from_sums_finds_what_made_the_dice() -> None:
    features = np.random.default_rng(6).normal(size=(400, 3))
    features[:, 2] = 7.0
    dice = 0.7 + 0.1 * features[:, 0] - 0.05 * features[:, 1] + np.random.default_rng(7).normal(0, 0.02, 400)
    parts = [np.column_stack([features, dice])[:150], np.column_stack([features, dice])[150:]]
    moments = add_moments(Moments.of((*NAMES, TARGET), part) for part in parts)
    assert moments is not None
    model = fit_quality(moments, 40, ridge=0.001)
    assert model.weights[2] == 0 and model.residual == pytest.approx(0.02, rel=0.2)
    estimates = [model.estimate(row) for row in features]
    assert np.corrcoef(estimates, dice)[0, 1] > 0.97
    assert model.estimate(np.array([1e3, 0, 7])) == 1.0 and model.estimate(np.array([-1e3, 0, 7])) == 0.0


def test_a_feature_pushes_in_the_one_direction_that_makes_sense_or_not_at_all() -> None:
    features = np.random.default_rng(6).normal(size=(400, 3))
    dice = 0.5 + features @ np.array([0.1, -0.05, 0.03]) + np.random.default_rng(7).normal(0, 0.02, 400)
    moments = Moments.of((*NAMES, TARGET), np.column_stack([features, dice]))
    free, held = (fit_quality(moments, 40, signs, 0.01) for signs in ({}, {"a": 1, "b": 1, "c": -1}))
    np.testing.assert_allclose(free.weights, [0.1, -0.05, 0.03], rtol=0.15)
    assert held.weights[0] == pytest.approx(0.1, rel=0.15) and held.weights[1:] == (0.0, 0.0)


def test_the_error_is_that_on_hospitals_that_were_left_out() -> None:
    features = np.random.default_rng(10).normal(size=(300, 2))
    dice = 0.6 + features @ np.array([0.1, -0.05]) + np.random.default_rng(11).normal(0, 0.02, 300)
    dice[200:] -= 0.2  # the third hospital's readers draw otherwise
    rows = np.column_stack([features, dice])
    parts = [Moments.of(("a", "b", TARGET), part) for part in (rows[:100], rows[100:200], rows[200:])]
    model, alone = fit_hospitals(parts, 60), fit_hospitals(parts[:1], 20)
    exact = np.mean([(model.estimate(row[:2]) - row[2]) ** 2 for row in rows])
    whole = add_moments(parts)
    assert whole is not None and model.error_on(whole) == pytest.approx(exact, rel=1e-6)
    assert model.residual > np.sqrt(exact) > 0.08 > alone.residual
    with pytest.raises(ValueError, match="at least one hospital"):
        fit_hospitals([], 0)


def test_the_temperature_is_the_one_that_made_the_truth() -> None:
    random = np.random.default_rng(8)
    logits = random.normal(0, 2, (3, 60_000))
    chance = np.exp(logits / 2) / np.exp(logits / 2).sum(axis=0)  # the truth is less sure than the logits
    truth = (random.random(60_000) > np.cumsum(chance, axis=0)).sum(axis=0)
    loss = []
    for temperature in TEMPERATURES:
        scaled = logits / temperature
        loss.append(float((np.log(np.exp(scaled).sum(axis=0)) - scaled[truth, np.arange(60_000)]).sum()))
    sums = LikelihoodSums(voxels=60_000, loss=tuple(loss))
    assert add_likelihoods([sums, sums]).best == pytest.approx(2.0, rel=0.07)


def test_calibration_error_is_the_gap_between_sure_and_right() -> None:
    random = np.random.default_rng(9)
    confidence = random.uniform(0.5, 1, 50_000)
    honest = ReliabilitySums.of(confidence, random.random(50_000) < confidence)
    boastful = ReliabilitySums.of(confidence, random.random(50_000) < confidence - 0.2)
    assert honest.error is not None and honest.error < 0.02
    assert boastful.error == pytest.approx(0.2, abs=0.02)
    together = add_reliabilities([honest, boastful])
    assert sum(together.voxels) == 100_000 and together.error == pytest.approx(0.1, abs=0.02)
    nothing = ReliabilitySums(voxels=(0.0,) * BINS, confidence=(0.0,) * BINS, right=(0.0,) * BINS)
    assert nothing.error is None
    with pytest.raises(ValueError, match="more voxels are right"):
        ReliabilitySums(voxels=(0.0,) * BINS, confidence=(0.0,) * BINS, right=(1.0,) * BINS)


def test_limits_follow_the_validation_cases() -> None:
    edges = (0.5, 1.0, 1.5, 2.0, 4.0)
    enough = count_scores([0.7] * 15 + [1.2] * 10, edges, 5)
    assert limits_of(enough).warn == 1.5 and limits_of(enough).refuse == 1.5 * REFUSE_FACTOR
    assert limits_of(count_scores([0.7] * 6, edges, 5)).warn == 1.0  # too few for 95 %: the last cell that holds any
