"""Trains with a guarantee for every patient (DP-SGD): samples patients, clips each one's gradient, adds noise.

A patient is one unit, whatever the number of its scans. Who takes part in a step, the noise and the clip bound come
from the `PatientMechanism` alone, so that they cannot disagree with what it accounts for. What a round returns is the
noisy difference and nothing else: no loss, no number of cases. A site without any patient answers too, with noise, as
an error would tell that it has none.

Left out of the guarantee: the time that a step takes grows with the number of patients sampled.

Source: Abadi et al., "Deep Learning with Differential Privacy", CCS 2016, algorithm 1, with Poisson sampling and a
fixed denominator; views of a patient averaged before the clip as in De et al., arXiv 2204.13650, section 3.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fedvoxel.errors import ConfigError, TrainingError
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.training.config import TrainingConfig
from fedvoxel.training.local_steps import Progress
from fedvoxel.training.networks import build_optimizer
from fedvoxel.training.patient_gradients import PatientGradients, clipped_sum
from fedvoxel.training.patient_views import PatientViews, Views
from fedvoxel.training.resumption import KeptMoments
from fedvoxel.training.schedule import rate_factor
from fedvoxel.training.segmenter import Segmenter
from fedvoxel.training.site_state import SiteState
from fedvoxel.training.weight_average import WeightAverage
from fedvoxel.updates.scores import CaseScore
from fedvoxel.updates.update import PUBLIC_WEIGHT, Arrays, Update
from fedvoxel.volumes.plan import PreparedCase


class PrivateTrainer:
    """Trains a segmenter on a site's patients through a mechanism; stands where a `Trainer` stands."""

    def __init__(
        self,
        segmenter: Segmenter,
        patients: PatientViews,
        mechanism: PatientMechanism,
        patients_at_once: int = 4,
        state: SiteState | None = None,
    ) -> None:
        """Builds everything that lives through all rounds.

        Args:
            segmenter: Holds the network and the job's training section.
            patients: The training patients.
            mechanism: Owns sampling, clip bound, noise, steps per round and accounting.
            patients_at_once: Patients whose gradients are computed together, 1 or more; changes memory, and the last
                bits.
            state: Keeps the optimiser's moments between rounds, which are post-processing of noised gradients; without
                it they go with this object.

        Raises:
            ConfigError: The network, loss or another part of the job does not go with patient-level privacy.
        """
        refuse_overruled(segmenter.config)
        self.config, self.classes = segmenter.config, segmenter.classes
        self._segmenter, self._patients, self._mechanism = segmenter, patients, mechanism
        self._patients_at_once = patients_at_once
        self._gradients = PatientGradients(segmenter, self.config.loss, patients_at_once)
        self._optimizer = self._new_optimizer()
        self._moments = KeptMoments(state) if state and self.config.optimizer.keep_state else None

    @property
    def case_count(self) -> int:
        """Is what the site reports as its number of cases: the same at every site, 1."""
        return PUBLIC_WEIGHT

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Returns a copy of the current weights; before any training, the initial ones drawn from the seed."""
        return self._segmenter.weights()

    def predict(self, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Segments one prepared image; see `Segmenter.predict`."""
        return self._segmenter.predict(image)

    def evaluate(self, model: Arrays, cases: Sequence[PreparedCase], surfaces: bool = False) -> list[CaseScore]:
        """Scores `model` on `cases`; see `Segmenter.evaluate`. Scores are not covered by the mechanism."""
        return self._segmenter.evaluate(model, cases, surfaces)

    def train_round(self, model: Arrays, round_index: int, num_rounds: int, progress: Progress | None = None) -> Update:
        """Takes the mechanism's steps from `model` and returns the noisy difference.

        Every call spends what `PatientMechanism.round_event` says, also one that is a repetition.

        Args:
            model: Global weights at the start of the round.
            round_index: 0-based round.
            num_rounds: Planned rounds, over which the learning-rate schedule runs.
            progress: Told after every step, without a loss, which would leave without noise.

        Returns:
            The difference; the weight is `PUBLIC_WEIGHT`, and there are no metrics.

        Raises:
            TrainingError: `model` is not finite.
            ConfigError: `model` does not fit the network.
        """
        if not all(np.isfinite(array).all() for array in model.values()):
            raise TrainingError("the model received is not finite; the run cannot go on from it")
        self._segmenter.load(model)
        if self._moments or not self.config.optimizer.keep_state:
            self._optimizer = self._new_optimizer()
        if self._moments:
            self._moments.restore(round_index, self._optimizer)
        self._train_steps(round_index, num_rounds, progress)
        if self._moments:
            self._moments.keep(round_index, self._optimizer)
        trained = self.weights()
        return Update({name: trained[name] - model[name] for name in trained}, PUBLIC_WEIGHT)

    def _train_steps(self, round_index: int, num_rounds: int, progress: Progress | None) -> None:
        steps = self._mechanism.config.steps_per_round
        average = WeightAverage(self._gradients.parameters.values(), self.config.average_decay)
        self._segmenter.network.train()
        for step in range(steps):
            self._set_rate(rate_factor(self.config.schedule, round_index * steps + step, num_rounds * steps))
            private_step(self._gradients, self._groups(round_index, step), self._mechanism, self._optimizer)
            average.add()
            if progress:
                progress(step + 1, steps, None)
        average.apply()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return build_optimizer(self.config.optimizer, self._gradients.parameters.values())

    def _groups(self, round_index: int, step: int) -> Iterator[Views]:
        sampled = self._mechanism.sample(len(self._patients)).tolist()
        return self._patients.in_groups(sampled, self._patients_at_once, round_index, step)

    def _set_rate(self, factor: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self.config.optimizer.learning_rate * factor


def private_step(
    gradients: PatientGradients,
    groups: Iterable[Views],
    mechanism: PatientMechanism,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Takes one step along the noisy mean of the clipped gradients; without any patient, along noise alone.

    Args:
        gradients: Computes gradients of the parameters that `optimizer` holds.
        groups: The views of the patients sampled for this step, a few patients at a time.
        mechanism: Clips, adds noise and divides by its public denominator.
        optimizer: Any; it sees nothing but the noisy mean.
    """
    total = clipped_sum(gradients, groups, mechanism.clip_factor)
    noisy = mechanism.noisy_mean({name: sums.cpu().numpy() for name, sums in total.items()})
    for name, parameter in gradients.parameters.items():
        parameter.grad = torch.from_numpy(np.ascontiguousarray(noisy[name])).to(parameter)
    optimizer.step()


def refuse_overruled(config: TrainingConfig) -> None:
    """Refuses settings that the mechanism decides instead, rather than passing over them in silence.

    Raises:
        ConfigError: Names the setting and what there is instead.
    """
    overruled = {
        "epochs_per_round": "privacy.steps_per_round",
        "batch_size": "privacy.sampling_probability",
        "gradient_clip_norm": "privacy.clip_norm",
    }
    for key, instead in overruled.items():
        if getattr(config, key) != TrainingConfig.model_fields[key].default:
            raise ConfigError(f"training.{key}: patient-level privacy has {instead} instead; leave it out")
