"""Computes a site's part of one common step under noise that the sites share (DP-FedSGD): samples, clips, sums, shares.

Nothing is trained here: the server takes the step along the sum of all sites' shares, which is all that it sees. What
is returned is to be masked before it leaves the hospital: by itself it has too little noise. A site without any patient
answers too, with its share of the noise, as an error would tell that it has none, and the sum would lack it.

Left out of the guarantee: the time that a round takes grows with the number of patients sampled.
"""

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import TrainingError
from fedvoxel.privacy.shared_noise import SharedNoise
from fedvoxel.training.patient_gradients import PatientGradients, clipped_sum
from fedvoxel.training.patient_views import PatientViews
from fedvoxel.training.private_training import refuse_overruled
from fedvoxel.training.segmenter import Segmenter
from fedvoxel.updates.update import Arrays


class SharedTrainer:
    """Computes shares on a site's patients through a mechanism; stands where a `PrivateTrainer` stands."""

    def __init__(
        self, segmenter: Segmenter, patients: PatientViews, mechanism: SharedNoise, patients_at_once: int = 4
    ) -> None:
        """Builds everything that lives through all rounds.

        Args:
            segmenter: Holds the network and the job's training section.
            patients: The training patients.
            mechanism: Owns sampling, clip bound, grid, noise and accounting.
            patients_at_once: Patients whose gradients are computed together, 1 or more; changes memory, and the last
                bits.

        Raises:
            ConfigError: The network, loss or another part of the job does not go with patient-level privacy.
        """
        refuse_overruled(segmenter.config)
        self._segmenter, self._patients, self._mechanism = segmenter, patients, mechanism
        self._patients_at_once = patients_at_once
        self._gradients = PatientGradients(segmenter, segmenter.config.loss, patients_at_once)

    @property
    def steps_taken(self) -> int:
        """Is the number of shares made so far."""
        return self._mechanism.steps_taken

    def share(self, model: Arrays, round_index: int) -> dict[str, NDArray[np.int64]]:
        """Returns the site's share of the sum of one round, in grid steps, by name of each trained parameter.

        Every call spends what `PatientMechanism.round_event` says, also one that is a repetition.

        Args:
            model: Global weights at the start of the round.
            round_index: 0-based round.

        Raises:
            TrainingError: `model` is not finite.
            ConfigError: `model` does not fit the network.
        """
        if not all(np.isfinite(array).all() for array in model.values()):
            raise TrainingError("the model received is not finite; the run cannot go on from it")
        self._segmenter.load(model)
        self._segmenter.network.train()
        sampled = self._mechanism.patients.sample(len(self._patients)).tolist()
        groups = self._patients.in_groups(sampled, self._patients_at_once, round_index, 0)
        clip, step = self._mechanism.patients.clip_factor, self._mechanism.grid.step
        total = clipped_sum(self._gradients, groups, clip, step)
        return self._mechanism.share({name: sums.cpu().numpy() for name, sums in total.items()})
