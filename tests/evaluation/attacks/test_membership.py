"""Membership: an over-fitted model gives its members away, one that knows nobody does not."""

import numpy as np
import pytest

from fedvoxel.evaluation.attacks.membership import allowed_rate, separation
from fedvoxel.evaluation.attacks.separation import auroc, auroc_interval, rate_at
from fedvoxel.privacy.guarantee import NEIGHBOURING, Guarantee
from fedvoxel.training.segmenter import Segmenter
from fedvoxel.training.trainer import Trainer
from fedvoxel.volumes.plan import PreparedCase
from tests.finished_job import blob_task

SIZE = (16, 16, 16)


def nonsense(count: int, seed: int) -> list[PreparedCase]:
    """Patients whose labels have nothing to do with their scans: they can be learnt by heart only."""
    random = np.random.default_rng(seed)
    cases = []
    for index in range(count):
        image = random.normal(size=(1, *SIZE)).astype(np.float32)
        coarse = random.random((2, 2, 2)) < 0.5
        label = coarse.repeat(8, 0).repeat(8, 1).repeat(8, 2).astype(np.uint8)
        cases.append(PreparedCase(f"case-{seed}{index}", image, label, (1.0, 1.0, 1.0), np.eye(4), f"p{seed}{index}"))
    return cases


def test_an_overfitted_model_gives_its_members_away_and_the_initial_one_nobody() -> None:
    network = {"name": "UNet", "arguments": {"channels": [16, 32], "strides": [2], "num_res_units": 0}}
    task = blob_task(network=network, augmentation={}, epochs_per_round=25)
    members, others = nonsense(10, 1), nonsense(30, 2)
    trainer = Trainer(task.training, task.classes, members, "hospital-a", "cpu")
    initial = trainer.weights()
    trainer.train_round(initial, 0, 1)
    patients = [[one] for one in members], [[one] for one in others]
    segmenter = Segmenter(task.training, task.classes, "cpu")
    trained = separation(segmenter, trainer.weights(), *patients, seed=1)
    before = separation(segmenter, initial, *patients, seed=1)
    assert trained.auroc > 0.8 and trained.auroc_low > 0.7
    assert trained.rate_at_10_percent is not None and trained.rate_at_10_percent > 0.4
    assert 0.25 < before.auroc < 0.75 and before.auroc_low < 0.5 < before.auroc_high
    assert trained.rate_at_1_percent is None, "thirty others cannot show one in a hundred"


def test_auroc_counts_pairs_and_ties() -> None:
    assert auroc([2.0, 3.0], [0.0, 1.0]) == 1
    assert auroc([0.0, 1.0], [2.0, 3.0]) == 0
    assert auroc([1.0, 1.0], [1.0]) == 0.5
    assert auroc([1.0, 3.0], [2.0, 0.0]) == 0.75
    low, high = auroc_interval([1.0, 3.0, 4.0, 5.0], [2.0, 0.0, 1.5, 2.5])
    assert 0 <= low < auroc([1.0, 3.0, 4.0, 5.0], [2.0, 0.0, 1.5, 2.5]) < high <= 1


def test_a_rate_that_too_few_others_can_show_is_not_given() -> None:
    members, others = np.arange(50, 150, dtype=float), np.arange(100, dtype=float)
    assert rate_at(members, others, 0.1) == pytest.approx(0.6)
    assert rate_at(members, others, 0.01) == pytest.approx(0.51)
    assert rate_at(members, others[:99], 0.01) is None
    assert rate_at(members, others[:9], 0.1) is None


def test_what_a_guarantee_allows_an_attacker() -> None:
    def guarantee(epsilon: float, delta: float) -> Guarantee:
        near = NEIGHBOURING["patient"]
        return Guarantee(
            unit="patient", epsilon=epsilon, delta=delta, neighbouring=near, adversary="sees all", composition="a run"
        )

    assert allowed_rate(guarantee(1e-9, 1e-9), 0.1) == pytest.approx(0.1)
    assert allowed_rate(guarantee(1.0, 1e-5), 0.1) == pytest.approx(np.e * 0.1, abs=1e-4)
    assert 0.99 < allowed_rate(guarantee(8.0, 1e-5), 0.1) < 1
    assert allowed_rate(guarantee(1e6, 1e-5), 0.1) == 1
