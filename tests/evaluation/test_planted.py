"""Planted sites are what they say: the cases and the updates, not what is found of them."""

import numpy as np
import pytest

from fedvoxel.evaluation.experiment import SiteCases
from fedvoxel.evaluation.planted import FreeRider, FreeRiding, with_copies, with_wrong_labels
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.updates.update import Update
from fedvoxel.volumes.plan import PreparedCase

STEP = np.array([0.3, -0.4], np.float32)


def _site(name: str, count: int = 10) -> SiteCases:
    label = np.zeros((3, 4, 2), np.uint8)
    label[1, 0] = 1
    image = np.zeros((1, 3, 4, 2), np.float32)
    cases = tuple(PreparedCase(f"{name}{index}", image, label, (1.0, 1.0, 1.0), np.eye(4)) for index in range(count))
    return SiteCases(cases, cases[:1], cases[:2])


def test_a_share_of_the_labels_is_mirrored_and_nothing_else_changes() -> None:
    site = _site("a")
    spoiled = with_wrong_labels(site, 0.3, np.random.default_rng(0))
    wrong = [case.label[1, 3].all() for case in spoiled.training]
    assert sum(wrong) == 3 and all(
        case.label[1, 0].all() != bad for case, bad in zip(spoiled.training, wrong, strict=True)
    )
    assert (spoiled.validation, spoiled.test) == (site.validation, site.test)
    assert all(one.image is other.image for one, other in zip(spoiled.training, site.training, strict=True))


def test_copied_cases_are_anothers_training_cases() -> None:
    one, other = _site("a"), _site("b")
    assert with_copies(one, other) == SiteCases(other.training, one.test, one.validation)


def _sent(kind: FreeRiding) -> list[np.ndarray]:
    """Returns what a rider sends in three rounds in which the model moves by `STEP`."""
    state, rider, sent = Rounds(RoundsConfig(num_rounds=3, min_sites=1), {"w": np.ones(2, np.float32)}), None, []
    rider = FreeRider(kind, np.random.default_rng(0))
    for _ in range(3):
        honest = Update({"w": STEP}, 5, {"loss": 0.1})
        update = rider(honest, state)
        assert (update.case_count, update.metrics) == (5, {"loss": 0.1})
        sent.append(np.asarray(update.arrays["w"]))
        state.add("honest", honest)
        state.close_round()
    return sent


@pytest.mark.parametrize(("kind", "expected"), [("nothing", 0 * STEP), ("last change", STEP), ("last model", -STEP)])
def test_free_riders_send_zeros_or_what_they_know(kind: FreeRiding, expected: np.ndarray) -> None:
    first, second, third = _sent(kind)
    assert np.linalg.norm(first) < 0.01
    np.testing.assert_allclose([second, third], [expected, expected], atol=1e-6)


def test_noise_is_as_long_as_it_says() -> None:
    assert max(np.linalg.norm(sent) for sent in _sent("tiny noise")) < 0.01
    assert np.linalg.norm(_sent("noise")[2]) > 0.05
