"""The steps of one site in one round: passes over its samples, each batch a step along its corrected gradient."""

import math
from collections.abc import Callable, Iterator
from itertools import count, islice

import torch

from fedvoxel.errors import TrainingError
from fedvoxel.training.config import TrainingConfig
from fedvoxel.training.gradient_term import GradientTerm, MeanGradient, NamedParameters
from fedvoxel.training.networks import build_loss
from fedvoxel.training.resumption import RoundCheckpoint
from fedvoxel.training.samples import Sample, Samples
from fedvoxel.training.schedule import rate_factor
from fedvoxel.training.segmenter import Segmenter, loss_of
from fedvoxel.training.weight_average import WeightAverage

Progress = Callable[[int, int, float | None], None]
"""Receives (steps done, steps in all, mean loss so far) after every step; no loss where it is a patient's secret."""


class LocalSteps:
    """Runs the steps of a round on the segmenter's network as it stands."""

    def __init__(
        self,
        config: TrainingConfig,
        segmenter: Segmenter,
        parameters: NamedParameters,
        samples: Samples,
        steps_per_round: int | None = None,
        checkpoint: RoundCheckpoint | None = None,
    ) -> None:
        """Takes what is trained, and for how long.

        Args:
            config: The job's training section.
            segmenter: Holds the network.
            parameters: Its trained parameters by name.
            samples: What it is trained on.
            steps_per_round: Steps in a round; None takes the configured epochs.
            checkpoint: Keeps finished epochs, to go on from.

        Raises:
            ConfigError: The loss cannot be built as described.
        """
        self._config, self._segmenter = config, segmenter
        self._parameters, self._samples = parameters, samples
        self._per_epoch = math.ceil(len(samples) / config.batch_size)
        in_epochs = config.epochs_per_round * self._per_epoch
        self._steps = in_epochs if steps_per_round is None else steps_per_round
        self._checkpoint = checkpoint
        self._loss = build_loss(config.loss)
        self._device = segmenter.device
        needs_scaling = self._device.type == "cuda" and segmenter.autocast.fast_dtype == torch.float16
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=needs_scaling and config.mixed_precision)

    def run(
        self,
        optimizer: torch.optim.Optimizer,
        round_index: int,
        num_rounds: int,
        term: GradientTerm,
        mean_gradient: MeanGradient | None = None,
        progress: Progress | None = None,
    ) -> float:
        """Trains for one round and returns the mean loss.

        Args:
            optimizer: Steps the trained parameters.
            round_index: 0-based round.
            num_rounds: Planned rounds, over which the learning-rate schedule runs.
            term: Added to every gradient.
            mean_gradient: Takes every gradient before the term.
            progress: Told after every step.

        Raises:
            TrainingError: The loss is not finite.
        """
        steps = self._steps
        average = WeightAverage(self._parameters.values(), self._config.average_decay)
        self._segmenter.network.train()
        # The mean gradient of the steps before is not kept: such a round begins anew.
        checkpoint = None if mean_gradient else self._checkpoint
        parts = (self._segmenter.network, optimizer, average, self._scaler)
        begun, total_loss = checkpoint.restore(*parts) if checkpoint else (0, 0.0)
        for done, batch in enumerate(islice(self._batches(round_index, begun), steps - begun), begun):
            self._set_rate(optimizer, round_index * steps + done, num_rounds * steps)
            total_loss += self._gradients(optimizer, *batch)
            self._step(optimizer, term, mean_gradient)
            average.add()
            if progress:
                progress(done + 1, steps, total_loss / (done + 1))
            if checkpoint and (done + 1) % self._per_epoch == 0:
                checkpoint.keep(done + 1, total_loss, *parts)
        average.apply()
        return total_loss / steps

    def _batches(self, round_index: int, begun: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for epoch in count(begun // self._per_epoch if begun else 0):
            yield from _batches(self._samples.epoch(round_index, epoch), self._config.batch_size)

    def _set_rate(self, optimizer: torch.optim.Optimizer, step: int, total_steps: int) -> None:
        factor = rate_factor(self._config.schedule, step, total_steps)
        for group in optimizer.param_groups:
            group["lr"] = self._config.optimizer.learning_rate * factor

    def _gradients(self, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor) -> float:
        """Puts a batch's gradients in place and returns its loss."""
        optimizer.zero_grad(set_to_none=True)
        with self._segmenter.autocast:
            output = self._segmenter.network(images.to(self._device))
        loss = loss_of(self._loss, output, labels.to(self._device))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError("the training loss is not finite; lower the learning rate or clip the gradient")
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(optimizer)
        return value

    def _step(self, optimizer: torch.optim.Optimizer, term: GradientTerm, mean_gradient: MeanGradient | None) -> None:
        """Steps along the batch's gradients with what is added to them."""
        if mean_gradient:
            mean_gradient.add()
        term.add_to_gradients()
        if self._config.gradient_clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._parameters.values(), self._config.gradient_clip_norm)
        self._scaler.step(optimizer)
        self._scaler.update()


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
