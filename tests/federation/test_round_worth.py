"""What a round's record says beside the values, and what is kept between rounds."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from fedvoxel.federation.contribution_config import ContributionConfig, RoundContribution
from fedvoxel.federation.outcome import ValidationScore
from fedvoxel.federation.round_worth import RoundWorth
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.updates.update import Arrays, Update

SITES = ["a", "b", "c"]
STEPS = {"a": [0.3, 0.0], "b": [0.2, 0.1], "c": [-0.1, 0.1]}


def _score(model: Arrays, sites: list[str], receive: Callable[[str, ValidationScore], None]) -> None:
    for site in sites:
        receive(site, ValidationScore(cases=1, dice={"organ": float(np.clip(model["w"][0], 0, 1))}))


def _run(rounds: int, updates: Mapping[str, list[float]] = STEPS, **asked: Any) -> list[RoundContribution | None]:
    state = Rounds(RoundsConfig(num_rounds=rounds), {"w": np.zeros(2, np.float32)})
    worth, found = RoundWorth(ContributionConfig(**asked), state, SITES, _score), []
    for _ in range(rounds):
        sent = {site: Update({"w": np.array(step, np.float32)}, 10) for site, step in updates.items()}
        found.append(worth.of(sent))
        for site, update in sent.items():
            state.add(site, update)
        state.close_round()
    return found


@pytest.mark.parametrize("method", ["leave_one_out", "shapley", "gtg_shapley"])
def test_every_scored_round_says_what_leaving_one_out_costs(method: str) -> None:
    first = _run(1, method=method, evaluators=["b"], tolerance=1e-6)[0]
    assert first and first.without == pytest.approx({"a": 0.4 / 3 - 0.05, "b": 0.4 / 3 - 0.1, "c": 0.4 / 3 - 0.25})
    assert first.bytes_down == first.evaluations * 8 and first.evaluations <= 8


def test_agreement_scores_nothing_and_still_says_what_resembles_what() -> None:
    first, second = _run(2, method="agreement")
    assert first and second and first.without == {} and first.bytes_down == 0
    assert first.resemblance and second.resemblance
    assert first.resemblance.last_step == {} and second.resemblance.last_step["a"] == pytest.approx(0.894427, abs=1e-5)
    assert second.resemblance.paths["a"]["b"] == pytest.approx(second.resemblance.pairs["a"]["b"], abs=1e-5)


def test_only_every_other_round_is_looked_at_and_the_step_is_still_that_of_the_round_before() -> None:
    first, second, third = _run(3, every=2)
    assert first and second is None and third and third.resemblance
    assert third.resemblance.last_step.keys() == set(SITES)
