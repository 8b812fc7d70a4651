"""Has the sites score models of some of a round's sites, and returns what each site contributed."""

import time
from collections.abc import Callable, Mapping

import numpy as np

from fedvoxel.errors import UpdateError
from fedvoxel.federation.contribution import (
    Estimate,
    Scored,
    agreement,
    gtg_shapley,
    leave_one_out,
    model_of,
    shapley,
)
from fedvoxel.federation.contribution_config import ContributionConfig, RoundContribution
from fedvoxel.federation.mean_dice import mean_dice
from fedvoxel.federation.outcome import ValidationScore
from fedvoxel.federation.resemblance import MOST_COMPARED, Paths, resemblance_of, step_between
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.snapshot import Snapshot, joined
from fedvoxel.updates.correction import split_controls
from fedvoxel.updates.update import Arrays, Update

Evaluate = Callable[[Arrays, list[str], Callable[[str, ValidationScore], None]], object]
"""Has sites validate a model, and hands on each one's score."""


class RoundWorth:
    """Looks at the updates of a run, round after round; between two it keeps the model of the one before."""

    def __init__(self, config: ContributionConfig, state: Rounds, sites: list[str], evaluate: Evaluate) -> None:
        """Takes the run's rounds, all of its sites, and how to have a model scored.

        Raises:
            ConfigError: An evaluator is not in the run.
        """
        self._config, self._state, self._evaluate = config, state, evaluate
        self._evaluators = config.scored_by(sites)
        self._before: tuple[int, Arrays] | None = None
        self._paths = Paths() if len(sites) <= MOST_COMPARED else None

    def of(self, updates: Mapping[str, Update]) -> RoundContribution | None:
        """Returns what each update of the open round is worth; None where the job does not ask about this round.

        Raises:
            UpdateError: A model could not be scored by the same sites as the others.
            ConfigError: There are too many sites for the method.
        """
        index, model = self._state.round, self._state.model
        before, self._before = self._before, (index, model)
        if index % self._config.every or not updates:
            return None
        started = time.monotonic()
        plain = {site: Update(split_controls(each.arrays)[0], each.case_count) for site, each in updates.items()}
        step = step_between(before[1], model) if before and before[0] == index - 1 else None
        found, without = self._estimate(plain)
        size = sum(array.nbytes for array in model.values())
        return RoundContribution(
            method=self._config.method,
            values=found.values,
            errors=found.errors,
            without=without,
            resemblance=resemblance_of(plain, step, self._paths),
            evaluations=found.evaluations,
            seconds=time.monotonic() - started,
            bytes_down=found.evaluations * size * len(self._evaluators),
        )

    def snapshot(self) -> Snapshot:
        """Returns the model of the round before, and the directions of the updates until then."""
        before = Snapshot(
            {"round": self._before and self._before[0]}, {"model": dict(self._before[1])} if self._before else {}
        )
        return joined({"before": before, "paths": self._paths.snapshot() if self._paths else Snapshot()})

    def restore(self, kept: Snapshot) -> None:
        """Takes both back."""
        before = kept.part("before")
        self._before = (before.values["round"], before.arrays["model"]) if before.arrays else None
        if self._paths:
            self._paths.restore(kept.part("paths"))

    def _estimate(self, updates: Mapping[str, Update]) -> tuple[Estimate, dict[str, float]]:
        """Returns the estimate that the job asks for, and the values of leaving one out, which share its scores."""
        config, sites = self._config, sorted(updates)
        if config.method == "agreement":
            return Estimate(agreement(updates), dict.fromkeys(sites, 0.0), 0), {}
        scored = Scored(self._worth(updates))
        if config.method == "shapley":
            found = shapley(sites, scored)
        elif config.method == "gtg_shapley":
            found = gtg_shapley(
                sites, scored, np.random.default_rng((config.seed, self._state.round)), config.tolerance
            )
        else:
            found = leave_one_out(sites, scored)
        without = leave_one_out(sites, scored).values
        return Estimate(found.values, found.errors, scored.evaluations), without

    def _worth(self, updates: Mapping[str, Update]) -> Callable[[frozenset[str]], float]:
        scored_by: list[set[str]] = []

        def worth(chosen: frozenset[str]) -> float:
            scores = self._scores(model_of(self._state.model, updates, chosen))
            dice = mean_dice(scores)
            if dice is None or (scored_by and set(scores) != scored_by[0]):
                raise UpdateError("the models of this round were not all scored by the same sites")
            scored_by.append(set(scores))
            return dice

        return worth

    def _scores(self, model: Arrays) -> dict[str, ValidationScore]:
        scores: dict[str, ValidationScore] = {}
        self._evaluate(model, self._evaluators, scores.__setitem__)
        return scores
