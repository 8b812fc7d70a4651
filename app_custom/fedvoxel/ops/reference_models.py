"""Trains what an experiment's jobs are compared with, on the hospitals at hand, and keeps what each model scored."""

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvoxel.errors import CohortError
from fedvoxel.evaluation.baseline import BaselineKind
from fedvoxel.evaluation.comparison.parts import Parts, Values
from fedvoxel.evaluation.comparison.reference import train_reference
from fedvoxel.evaluation.comparison.table import References
from fedvoxel.evaluation.comparison.trial import cases_from_json
from fedvoxel.training.setup import TrainingTask
from fedvoxel.volumes.site import SITE_FILE, load_site_config

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Model:
    kind: BaselineKind
    seed: int
    sites: tuple[str, ...]

    @property
    def name(self) -> str:
        place = self.sites[0] if self.kind == "local" else "everybody"
        return f"{self.kind}_{place}_seed{self.seed}"


class ReferenceModels:
    """Holds each hospital's own model and, of more than one hospital, a pooled one, for every seed."""

    def __init__(
        self, parts: Parts, task: TrainingTask, rounds: int, seeds: Sequence[int], kits: Mapping[str, Path]
    ) -> None:
        """Takes the recipe and the kits of the hospitals at hand, by name; without one there is nothing to train."""
        self._parts, self._task, self._rounds, self._kits = parts, task, rounds, dict(kits)
        sites = tuple(sorted(kits))
        alone = [_Model("local", seed, (site,)) for seed in seeds for site in sites]
        self._models = alone + ([_Model("pooled", seed, sites) for seed in seeds] if len(sites) > 1 else [])

    def train(self, progress: Progress) -> None:
        """Trains what is missing, as many at a time as there are cores, with one thread each.

        Args:
            progress: Told (models done, models).

        Raises:
            CohortError: A hospital's cohort cannot be used, or nobody has a training case.
        """
        missing = [model for model in self._models if self._kept(model) is None]
        progress(0, len(missing))
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(max_workers=os.cpu_count() or 1, mp_context=context) as pool:
            waiting = {}
            for model in missing:
                kits = {site: self._kits[site] for site in model.sites}
                waiting[pool.submit(_train, model.kind, self._recipe(model), self._rounds, kits)] = model
            for done, future in enumerate(as_completed(waiting), start=1):
                model = waiting[future]
                self._parts.run(model.name, self._configuration(model), future.result)
                progress(done, len(missing))

    def found(self) -> References:
        """Returns the scores of the models that are finished."""
        by_kind: dict[str, dict[int, dict[str, Any]]] = {"local": {}, "pooled": {}}
        for model in self._models:
            kept = self._kept(model)
            if kept and kept["cases"]:
                by_kind[model.kind].setdefault(model.seed, {}).update(cases_from_json(kept["cases"]))
        return References(by_kind["local"], by_kind["pooled"])

    def _kept(self, model: _Model) -> Values | None:
        return self._parts.get(model.name, self._configuration(model))

    def _configuration(self, model: _Model) -> dict[str, Any]:
        recipe = {"task": self._recipe(model).model_dump(mode="json"), "rounds": self._rounds}
        return {"sites": list(model.sites), **recipe, "cohorts": describe(self._kits, self._task.cohort)}

    def _recipe(self, model: _Model) -> TrainingTask:
        return self._task.model_copy(update={"training": self._task.training.model_copy(update={"seed": model.seed})})


def describe(kits: Mapping[str, Path], cohort: str) -> dict[str, Any]:
    """Returns how each hospital at hand describes the cohort: with another split, what was kept does not count.

    Raises:
        ConfigError: A hospital's own file cannot be read.
        CohortError: A hospital has no such cohort.
    """
    found = {site: load_site_config(kit / "local" / SITE_FILE).cohort(cohort) for site, kit in sorted(kits.items())}
    return {site: described.model_dump(mode="json") for site, described in found.items()}


def _train(kind: BaselineKind, task: TrainingTask, rounds: int, kits: dict[str, Path]) -> Values:
    try:
        return {"cases": train_reference(kind, task, rounds, kits, threads=1)}
    except CohortError:
        # A hospital that only evaluates has no model of its own.
        if kind == "pooled":
            raise
        return {"cases": {}}
