"""Trains and evaluates one network on one site's cases: what a site does in a round, without any federation.

The same class trains a site's part of a round, a site alone, and all sites' cases pooled, so that the comparison
between them compares nothing else. Everything is reproducible from the configuration's seed on the same machine.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fedvoxel.errors import TrainingError
from fedvoxel.training.config import TrainingConfig
from fedvoxel.training.networks import build_loss, build_optimizer, trained_parameters
from fedvoxel.training.proximal import ProximalTerm
from fedvoxel.training.samples import Sample, Samples
from fedvoxel.training.schedule import rate_factor
from fedvoxel.training.segmenter import Segmenter, loss_of
from fedvoxel.training.weight_average import WeightAverage
from fedvoxel.updates.scores import CaseScore
from fedvoxel.updates.update import Arrays, Update
from fedvoxel.volumes.plan import PreparedCase

Progress = Callable[[int, int, float | None], None]
"""Receives (steps done, steps in all, mean loss so far) after every step; no loss where it is a patient's secret."""


class Trainer:
    """Holds the network, the optimiser and its moments, and the training samples of one site."""

    def __init__(
        self, config: TrainingConfig, classes: Sequence[str], cases: Sequence[PreparedCase], site: str, device: str
    ) -> None:
        """Builds everything that lives through all rounds.

        Args:
            config: The job's training section.
            classes: Class names; label code 1 + index, 0 background.
            cases: Training cases; empty at a site that only evaluates.
            site: Seeds the site's own order of samples.
            device: `cpu` or `cuda`.

        Raises:
            ConfigError: The network, loss or optimiser cannot be built as described.
        """
        self.config, self.classes = config, tuple(classes)
        self._segmenter = Segmenter(config, classes, device)
        self._network, self._device = self._segmenter.network, self._segmenter.device
        self._trained = trained_parameters(self._network)
        self._loss = build_loss(config.loss)
        self._optimizer = build_optimizer(config.optimizer, self._trained)
        self._samples = Samples(config, cases, site)
        needs_scaling = self._device.type == "cuda" and self._segmenter.autocast.fast_dtype == torch.float16
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=needs_scaling and config.mixed_precision)

    @property
    def case_count(self) -> int:
        """Is the number of training cases."""
        return self._samples.case_count

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Returns a copy of the current weights; before any training, the initial ones drawn from the seed."""
        return self._segmenter.weights()

    def train_round(self, model: Arrays, round_index: int, num_rounds: int, progress: Progress | None = None) -> Update:
        """Trains from `model` for one round and returns the difference.

        Args:
            model: Global weights at the start of the round.
            round_index: 0-based round.
            num_rounds: Planned rounds, over which the learning-rate schedule runs.
            progress: Told after every step.

        Raises:
            TrainingError: There is no training case, or the loss is not finite.
            ConfigError: `model` does not fit the network.
        """
        if not self.case_count:
            raise TrainingError("this site has no training case; it can only evaluate")
        self._segmenter.load(model)
        if not self.config.optimizer.keep_state:
            self._optimizer = build_optimizer(self.config.optimizer, self._trained)
        loss = self._train_epochs(round_index, num_rounds, progress)
        trained = self.weights()
        difference = {name: trained[name] - model[name] for name in trained}
        return Update(difference, self.case_count, {"loss": loss})

    def predict(self, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Segments one prepared image; see `Segmenter.predict`."""
        return self._segmenter.predict(image)

    def evaluate(self, model: Arrays, cases: Sequence[PreparedCase], surfaces: bool = False) -> list[CaseScore]:
        """Scores `model` on `cases`; see `Segmenter.evaluate`."""
        return self._segmenter.evaluate(model, cases, surfaces)

    def _train_epochs(self, round_index: int, num_rounds: int, progress: Progress | None) -> float:
        epochs = self.config.epochs_per_round
        steps = epochs * math.ceil(len(self._samples) / self.config.batch_size)
        average = WeightAverage(self._trained, self.config.average_decay)
        proximal = ProximalTerm(self._trained, self.config.proximal_mu)
        self._network.train()
        done, total_loss = 0, 0.0
        for epoch in range(epochs):
            for batch in _batches(self._samples.epoch(round_index, epoch), self.config.batch_size):
                self._set_rate(rate_factor(self.config.schedule, round_index * steps + done, num_rounds * steps))
                total_loss += self._step(*batch, proximal)
                average.add()
                done += 1
                if progress:
                    progress(done, steps, total_loss / done)
        average.apply()
        return total_loss / done

    def _set_rate(self, factor: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self.config.optimizer.learning_rate * factor

    def _step(self, images: torch.Tensor, labels: torch.Tensor, proximal: ProximalTerm) -> float:
        self._optimizer.zero_grad(set_to_none=True)
        with self._segmenter.autocast:
            output = self._network(images.to(self._device))
        loss = loss_of(self._loss, output, labels.to(self._device))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError("the training loss is not finite; lower the learning rate or clip the gradient")
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        proximal.add_to_gradients()
        if self.config.gradient_clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._trained, self.config.gradient_clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return value


def _batches(samples: Iterator[Sample], size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    images, labels = [], []
    for image, label in samples:
        images.append(image)
        labels.append(label)
        if len(images) == size:
            yield torch.stack(images), torch.stack(labels)
            images, labels = [], []
    if images:
        yield torch.stack(images), torch.stack(labels)
