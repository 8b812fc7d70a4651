"""What a round adds up to: the same rules for both sums, and those that only the noised one has."""

from collections.abc import Callable

import numpy as np
import pytest

from fedvoxel.errors import UpdateError
from fedvoxel.federation.round_sum import CaseWeightedSum, NoisedSum, RoundSum
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
from fedvoxel.privacy.sections import HospitalMechanismConfig
from fedvoxel.updates.update import Update

LAYOUT = {"weight": (3,)}
CONFIG = HospitalMechanismConfig(unit="hospital", clip_norm=100.0, noise_multiplier=None, sites=3, delta=1e-5)

Open = Callable[[], RoundSum]
SUMS: dict[str, Open] = {
    "weighted by cases": lambda: CaseWeightedSum(LAYOUT, 10),
    "noised": lambda: NoisedSum(LAYOUT, HospitalMechanism(CONFIG)),
}


def update(value: float, cases: int = 1) -> Update:
    return Update({"weight": np.full(3, value, np.float32)}, cases)


@pytest.fixture(params=SUMS)
def opened(request: pytest.FixtureRequest) -> RoundSum:
    return SUMS[request.param]()


def test_it_counts_and_averages(opened: RoundSum) -> None:
    for value in (1.0, 2.0, 6.0):
        opened.add(update(value))
    assert opened.count == 3
    mean = opened.mean()["weight"]
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, 3.0)


@pytest.mark.parametrize(
    "bad",
    [
        update(np.nan),
        update(1e6),
        update(1.0, cases=0),
        Update({"weight": np.zeros(4, np.float32)}, 1),
        Update({"weight": np.zeros(3, np.int64)}, 1),
        Update({"bias": np.zeros(3, np.float32)}, 1),
        Update({}, 1),
    ],
)
def test_what_is_not_acceptable_leaves_the_sum_as_it_was(opened: RoundSum, bad: Update) -> None:
    with pytest.raises(UpdateError):
        opened.add(bad)
    assert opened.count == 0
    with pytest.raises(UpdateError):
        opened.mean()


def test_a_noised_sum_takes_one_weight_and_no_more_updates_than_sites() -> None:
    noised = SUMS["noised"]()
    for weight in (2, True, 0, -1):
        with pytest.raises(UpdateError, match="counts as 1"):
            noised.add(update(1.0, weight))
    for _ in range(3):
        noised.add(update(1.0))
    with pytest.raises(UpdateError, match="one update too many"):
        noised.add(update(1.0))
    assert noised.count == 3


def test_a_noised_sum_is_given_out_once() -> None:
    noised = SUMS["noised"]()
    noised.add(update(1.0))
    noised.mean()
    with pytest.raises(UpdateError, match="released already"):
        noised.mean()


def test_a_model_that_may_not_leave_does_not_become_the_rounds_model_and_is_never_drawn_again() -> None:
    rounds = Rounds(
        RoundsConfig(num_rounds=2, min_sites=1), {"weight": np.zeros(3, np.float32)}, HospitalMechanism(CONFIG)
    )
    rounds.add("hospital-a", update(3.0))

    def refuse() -> None:
        np.testing.assert_allclose(rounds.model["weight"], 1.0)
        raise UpdateError("the disk is full")

    with pytest.raises(UpdateError, match="disk is full"):
        rounds.close_round(refuse)
    assert rounds.round == 0 and not rounds.model["weight"].any()
    with pytest.raises(UpdateError, match="0 of the 1 sites"):
        rounds.close_round()
