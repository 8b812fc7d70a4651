"""Scores a system's last model on every hospital's unseen cases, the same way for all systems and outside the clock."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from statistics import fmean

from fedvoxel.evaluation.experiment import SiteCases, load_site_cases
from fedvoxel.training.networks import build_network, get_weights
from fedvoxel.training.setup import TrainingTask
from fedvoxel.training.site_trainer import use_compute
from fedvoxel.training.trainer import Trainer
from fedvoxel.updates.weights_file import load_weights, save_weights
from fedvoxel.volumes.site import ComputeConfig


class Scoring:
    """Holds all hospitals' cases, read when they are first needed."""

    def __init__(self, task: TrainingTask, site_files: Mapping[str, Path]) -> None:
        """Takes the job's task and each site's own description of its cohort."""
        self._task, self._site_files = task, site_files

    @cached_property
    def _cases(self) -> dict[str, SiteCases]:
        return {site: load_site_cases(file, self._task) for site, file in self._site_files.items()}

    @cached_property
    def _trainer(self) -> Trainer:
        return Trainer(self._task.training, self._task.classes, (), "scoring", use_compute(ComputeConfig(threads=1)))

    def write_initial(self, path: Path) -> None:
        """Writes the first model that the job's seed gives, which a hospital would make in our system."""
        training = self._task.training
        network = build_network(training.network, len(self._task.classes) + 1, training.seed)
        save_weights(path, get_weights(network))

    def dice(self, model: Path) -> float:
        """Returns the mean Dice of the model in `model` over all unseen cases of all hospitals and all classes."""
        weights = load_weights(model)
        scores = [one for cases in self._cases.values() for one in self._trainer.evaluate(weights, cases.test)]
        return fmean(value for one in scores for value in one.dice.values() if value is not None)
