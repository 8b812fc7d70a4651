"""A site's rounds under a privacy mechanism: what is charged before a round is trained, and kept before it leaves.

For each patient the trainer clips and noises, and what is kept is noised. For the hospital as a whole the site shortens
its update and the trusted server adds the noise; the site charges each round all the same, to its own ledger, and needs
nobody's word about what was spent.

The bytes themselves are put into the answer by the site's outbound filter, from the ledger alone; see `outbound`.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import ConfigError, TrainingError, UpdateError
from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
from fedvoxel.privacy.joint_reservation import charge_late, reserve_jointly
from fedvoxel.privacy.ledger import Ledger
from fedvoxel.privacy.sections import HospitalMechanismConfig, PatientMechanismConfig
from fedvoxel.privacy.simulation import plan_of
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import to_bytes

_logger = logging.getLogger(__name__)

Train = Callable[[], tuple[Arrays, int]]
"""Trains one round; returns the difference and the number of noised steps that it took, 0 for plain training.

With shared noise it is the site's share of a sum, in whole numbers.
"""

Mask = Callable[[Mapping[str, NDArray[np.int64]]], Mapping[str, NDArray[np.uint8]]]
"""Hides whole numbers by name behind the masks of a round of secure aggregation."""

Encode = Callable[[Arrays], Mapping[str, NDArray[Any]]]
"""Writes a difference that is clipped, and noised where the site does that, as the server has asked for.

After the site's own noise that costs no privacy, whatever a codec keeps for the next round; and where the server adds
the noise, it clips again what it has read.
"""


@dataclass(frozen=True)
class PrivateRounds:
    """Is one run's rounds at one site.

    Attributes:
        ledger: The cohort's ledger.
        config: The job's privacy section.
        run_key: Names the run.
        job_id: The present attempt.
        also: The ledgers of the site's other cohorts with patients of this one, which are charged as well.
    """

    ledger: Ledger
    config: PatientMechanismConfig | HospitalMechanismConfig
    run_key: str
    job_id: str
    also: tuple[Ledger, ...] = ()

    def release(
        self, round_index: int, num_rounds: int, train: Train, mask: Mask | None = None, encode: Encode | None = None
    ) -> str:
        """Returns the id of the round's release, which lies on disk; trains only where it does not yet.

        Args:
            round_index: 0-based round.
            num_rounds: Rounds of the run.
            train: See `Train`.
            mask: See `Mask`; None outside secure aggregation.
            encode: See `Encode`; without it float32 is kept.

        Raises:
            BudgetExceededError: A budget of the site has no draw left for the run; nothing was trained, and what was
                kept is not sent.
            LedgerError: The ledger cannot be trusted or written, or the run has changed its plan: then what was kept
                under the earlier one is not sent either.
            TrainingError: The trainer took another number of steps than was charged; nothing is kept.
            ConfigError: The noise is shared and nothing masks the share.
        """
        plan = plan_of(self.config, num_rounds)
        kept = self.ledger.kept(self.run_key, round_index, plan)
        if self.config.unit == "patient" and self.config.shared_noise and mask is None:
            raise ConfigError("a share of the noise leaves masked only: expected a round of secure aggregation")
        if kept:
            charge_late(self.also, self.run_key, self.job_id, round_index, plan)
            return kept
        reservation = reserve_jointly(self.ledger, self.also, self.run_key, self.job_id, round_index, plan)
        difference, steps = train()
        self.ledger.keep(reservation, to_bytes(self._written(difference, steps, mask, encode)))
        return reservation.release_id

    def _written(self, difference: Arrays, steps: int, mask: Mask | None, encode: Encode | None) -> Arrays:
        """Returns what is kept of a trained round, as it leaves."""
        if mask:
            return self._masked(difference, steps, mask)
        bounded = self._bounded(difference, steps)
        return cast(Arrays, encode(bounded)) if encode else bounded

    def _masked(self, difference: Arrays, steps: int, mask: Mask) -> Arrays:
        """Returns what may be kept of a round whose sum alone the server sees."""
        if not isinstance(self.config, HospitalMechanismConfig):
            return cast(Arrays, mask(cast(Mapping[str, NDArray[np.int64]], self._bounded(difference, steps))))
        try:
            part = HospitalMechanism(self.config).ring_part(difference)
        except UpdateError as error:
            _logger.error("event=update_counts_as_zero reason=%s", error)
            part = {name: np.zeros(array.shape, np.int64) for name, array in difference.items()}
        return cast(Arrays, mask(part))

    def _bounded(self, difference: Arrays, steps: int) -> Arrays:
        """Returns what may be kept of a trained round."""
        if isinstance(self.config, HospitalMechanismConfig):
            try:
                return HospitalMechanism(self.config).clip_at_site(difference)
            except UpdateError as error:
                # As if the hospital were not there; an error would tell of its cases, at no charge.
                _logger.error("event=update_counts_as_zero reason=%s", error)
                return {name: np.zeros_like(array) for name, array in difference.items()}
        charged = self.config.steps_per_round
        if steps != charged:
            raise TrainingError(f"the trainer took {steps} noised steps, {charged} were charged: nothing leaves")
        return difference
