"""One hospital's share of the work, without any federation; the pool and stock FLARE both run this.

It is what `fedvoxel.training.site_trainer` does in a job: each round it validates the model received, from the second
round on, and trains on it; at the end it scores the last model on the validation and, with surfaces, the test cases.
"""

from pathlib import Path

from fedvoxel.training.setup import TrainingTask
from fedvoxel.training.site_trainer import use_compute
from fedvoxel.training.trainer import Trainer
from fedvoxel.updates.update import Arrays, Update
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.plan import PreparedCase
from fedvoxel.volumes.site import load_site_config
from fedvoxel.volumes.split import Split


class SiteWork:
    """Holds a hospital's prepared cases and its trainer."""

    def __init__(self, task: TrainingTask, site: str, site_file: Path) -> None:
        """Reads all cases and builds the network."""
        described = load_site_config(site_file)

        def load(split: Split) -> tuple[PreparedCase, ...]:
            return load_cases(described, task.cohort, task.classes, task.plan, split, site_file.parent)[0]

        self._validation, self._test = load("validation"), load("test")
        self.trainer = Trainer(task.training, task.classes, load("training"), site, use_compute(described.compute))

    def train(self, model: Arrays, index: int, rounds: int) -> Update:
        """Does one round's work."""
        if index:
            self.trainer.evaluate(model, self._validation)
        return self.trainer.train_round(model, index, rounds)

    def score(self, model: Arrays) -> list[float]:
        """Does the final evaluation and returns the mean Dice of each test case."""
        self.trainer.evaluate(model, self._validation)
        scores = self.trainer.evaluate(model, self._test, surfaces=True)
        means = []
        for score in scores:
            known = [dice for dice in score.dice.values() if dice is not None]
            means.append(sum(known) / len(known))
        return means
