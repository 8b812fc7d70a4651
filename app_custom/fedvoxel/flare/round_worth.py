"""Has the sites score models of some of a round's sites, and returns what each site contributed."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fedvoxel.errors import UpdateError
from fedvoxel.federation.contribution import Estimate, agreement, gtg_shapley, leave_one_out, model_of, shapley
from fedvoxel.federation.contribution_config import ContributionConfig, RoundContribution
from fedvoxel.federation.outcome import ValidationScore
from fedvoxel.federation.rounds import Rounds, mean_dice
from fedvoxel.updates.correction import split_controls
from fedvoxel.updates.update import Arrays, Update

Evaluate = Callable[[Arrays, list[str], Callable[[str, Mapping[str, Any]], None]], object]
"""Has sites validate a model, and hands on what each replies."""


class RoundWorth:
    """Looks at one round's updates."""

    def __init__(self, config: ContributionConfig, state: Rounds, sites: list[str], evaluate: Evaluate) -> None:
        """Takes the run's rounds, all of its sites, and how to have a model scored.

        Raises:
            ConfigError: An evaluator is not in the run.
        """
        self._config, self._state, self._evaluate = config, state, evaluate
        self._evaluators = config.scored_by(sites)

    def of(self, updates: Mapping[str, Update]) -> RoundContribution:
        """Returns what each update is worth.

        Raises:
            UpdateError: A model could not be scored by the same sites as the others.
            ConfigError: There are too many sites for the method.
        """
        started = time.monotonic()
        plain = {site: Update(split_controls(each.arrays)[0], each.case_count) for site, each in updates.items()}
        found = self._estimate(plain)
        return RoundContribution(
            method=self._config.method,
            values=found.values,
            errors=found.errors,
            evaluations=found.evaluations,
            seconds=time.monotonic() - started,
        )

    def _estimate(self, updates: Mapping[str, Update]) -> Estimate:
        config, sites = self._config, sorted(updates)
        if config.method == "agreement":
            return Estimate(agreement(updates), dict.fromkeys(sites, 0.0), 0)
        scored_by: list[set[str]] = []

        def worth(chosen: frozenset[str]) -> float:
            scores = self._scores(model_of(self._state.model, updates, chosen))
            dice = mean_dice(scores)
            if dice is None or (scored_by and set(scores) != scored_by[0]):
                raise UpdateError("the models of this round were not all scored by the same sites")
            scored_by.append(set(scores))
            return dice

        if config.method == "leave_one_out":
            return leave_one_out(sites, worth)
        if config.method == "shapley":
            return shapley(sites, worth)
        return gtg_shapley(sites, worth, np.random.default_rng((config.seed, self._state.round)), config.tolerance)

    def _scores(self, model: Arrays) -> dict[str, ValidationScore]:
        scores: dict[str, ValidationScore] = {}

        def receive(site: str, meta: Mapping[str, Any]) -> None:
            scores[site] = self._state.read_validation(meta.get("score"))

        self._evaluate(model, self._evaluators, receive)
        return scores
