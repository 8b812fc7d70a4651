"""The patient-level mechanism: DP-SGD at the site, so that its guarantee holds against the server and everybody else.

Source: Abadi et al., "Deep learning with differential privacy", CCS 2016, algorithm 1, with Poisson sampling and a
fixed public denominator.

Arithmetic. The sum of clipped gradients is rounded to a grid of about 2**-40 of the clip bound and gets noise that is
exactly distributed on that grid, so that floating-point attacks have nothing to hold on to (see `noise`). One patient
moves the sum by at most the clip bound plus what rounding adds, for each parameter at most one grid step: 10**-8 of the
bound for a hundred million parameters, for which `clip_factors` leaves room. That the discrete Gaussian is accounted
for as a continuous one adds less than 10**-12 to delta over a million parameters and a thousand steps, at epsilon up to
8 and a noise multiplier from 0.3 on (see `hospital_mechanism`; the grid here is finer). The sum has to be taken in
float64: in float32 its rounding alone could move it by 2**-24 times the square of the batch, in clip bounds.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import ConfigError, TrainingError
from fedvoxel.privacy.clipping import clip_factors
from fedvoxel.privacy.events import GaussianEvent, NoiseSharing
from fedvoxel.privacy.guarantee import Guarantee
from fedvoxel.privacy.noise import Noise, SecureNoise
from fedvoxel.privacy.sections import PatientMechanismConfig
from fedvoxel.privacy.spare_draws import rounds_and_spare
from fedvoxel.privacy.targets import check_delta

ADVERSARY = (
    "sees every message of the site and every global model and knows all other patients, while the site runs the "
    "approved software and timing and other side channels are left out"
)

_EACH_BY_ITSELF = (
    "epsilon holds for each hospital by itself: for a patient who is treated at several, and over other jobs, the "
    "losses add up"
)
_ONE_SUM = (
    "epsilon holds for a patient of one hospital; of one who is treated at k, who can move the sum k times as far, it "
    "is k epsilon, at a delta that is more than k times as large; over other jobs the losses add up"
)
_SECURE_SUM = (
    "secure aggregation holds and shows one sum a round, of at least {least} of the {sites} hospitals, all other "
    "hospitals run the approved software, and timing and other side channels are left out; nothing is claimed against "
    "one who sees a hospital's share unmasked"
)

_GRID_BITS = 40
LARGEST_SUM = 2**20
"""Largest value in a sum, in clip bounds: more patients than that in one sample are a mistake."""


class PatientMechanism:
    """Protects each patient of one site, however many scans the patient has."""

    def __init__(self, config: PatientMechanismConfig, noise: Noise | None = None) -> None:
        """Takes the job's section.

        Args:
            config: Everything that decides the guarantee.
            noise: `SecureNoise` unless given; with any other the mechanism makes no claim.
        """
        self.config = config
        self.steps_taken = 0
        """Sums released so far: what was charged must pay for at least as many."""
        self._noise = noise or SecureNoise()

    @property
    def noise_scale(self) -> float:
        """Is the standard deviation of the noise on the sum of clipped gradients; 0 without noise."""
        return (self.config.noise_multiplier or 0.0) * self.config.clip_norm

    @property
    def grid_step(self) -> float:
        """Is the distance of two values that can be released of a sum: a power of two that the clip bound decides."""
        return 2.0 ** (math.floor(math.log2(self.config.clip_norm)) - _GRID_BITS)

    def check_cohort(self, patients: int) -> None:
        """Checks that a cohort of so many patients is large enough for this job.

        Not to be asked with a real number of patients where the answer leaves the hospital.

        Raises:
            ConfigError: Fewer patients than a batch, or delta is at least 1/patients.
        """
        check_delta(self.config.delta, patients)
        if patients < self.config.expected_batch:
            raise ConfigError(
                f"the job's batch of {self.config.expected_batch:g} patients is larger than the cohort of {patients}: "
                "lower expected_batch and sampling_probability, or leave this site out"
            )

    def sample(self, patients: int) -> NDArray[np.int64]:
        """Returns the patients of one step, as ascending indices below `patients`; possibly none.

        Each patient takes part by a coin of its own, as the event says. An empty sample is a step like any other.
        """
        return self._noise.poisson_sample(patients, self.config.sampling_probability)

    def clip_factor(self, norms: NDArray[np.floating]) -> NDArray[np.float64]:
        """Returns what to multiply each patient's gradient by; see `clipping.clip_factors`.

        Args:
            norms: l2 norm of each gradient over all parameters, float64, shape (patients,).
        """
        return clip_factors(norms, self.config.clip_norm)

    def noisy_mean(self, summed: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.float64]]:
        """Returns (sum + noise) / expected_batch and counts one step.

        Args:
            summed: Sum of the clipped gradients of one sample by parameter name, best in float64; zeros where the
                sample was empty.

        Raises:
            TrainingError: The sum is not finite, or larger than clipped gradients can add up to.
            ConfigError: The job's noise is shared: no site releases anything by itself.
        """
        if self.config.shared_noise:
            raise ConfigError("this job's noise is shared: no site releases anything by itself, only the sum of all")
        largest = LARGEST_SUM * self.config.clip_norm
        if not all((np.abs(array) <= largest).all() for array in summed.values()):
            raise TrainingError(
                f"expected a sum of clipped gradients, finite and at most {largest:g}, got something else: "
                "a gradient was summed without its factor"
            )
        self.steps_taken += 1
        return {name: self._noised(array) / self.config.expected_batch for name, array in summed.items()}

    def round_event(self) -> GaussianEvent:
        """Returns what one round costs."""
        return self._event(self.config.steps_per_round)

    def events(self, rounds: int) -> tuple[GaussianEvent, ...]:
        """Returns what `rounds` rounds cost together, and no more: `guarantee` counts spare draws too."""
        return (self._event(rounds * self.config.steps_per_round),) if rounds else ()

    def guarantee(self, rounds: int) -> Guarantee | None:
        """Returns what may be claimed of `rounds` rounds and the spare draws; None where there is no guarantee."""
        if not self._noise.gives_guarantee:
            return None
        said = rounds_and_spare(rounds, self.config.spare_draws)
        steps = f"{said} of {self.config.steps_per_round} steps of this job at one hospital"
        shared = self.config.shared_noise is not None
        # Here, not above: a trainer adds noise and needs no accountant, which takes a second to import.
        from fedvoxel.privacy.accounting import claim

        return claim(
            "patient",
            self.events(self.config.draws(rounds)),
            self.config.delta,
            adversary=adversary_of(self.config.shared_noise),
            composition=f"{steps} ({_ONE_SUM if shared else _EACH_BY_ITSELF})",
        )

    def _event(self, count: int) -> GaussianEvent:
        return GaussianEvent(
            noise_multiplier=self.config.noise_multiplier or 0.0,
            sampling_probability=self.config.sampling_probability,
            count=count,
            sharing=self.config.shared_noise,
        )

    def _noised(self, total: NDArray[np.floating]) -> NDArray[np.float64]:
        exact: NDArray[np.float64] = np.asarray(total, dtype=np.float64)
        if self.config.noise_multiplier is None:
            return exact
        steps = np.rint(exact / self.grid_step).astype(np.int64)
        steps += self._noise.discrete_gaussian(exact.shape, math.ceil(self.noise_scale / self.grid_step))
        return np.multiply(steps, self.grid_step, dtype=np.float64)


def adversary_of(sharing: NoiseSharing | None) -> str:
    """Returns the one against whom the claim holds: weaker, where the sites share the noise of one sum.

    Args:
        sharing: The section's `shared_noise`.
    """
    if sharing is None:
        return ADVERSARY
    who = f"is the server and any {sharing.colluders} of the {sharing.sites} hospitals together"
    if sharing.colluders == 0:
        who = f"is the server or anybody but one of the {sharing.sites} hospitals, each of which knows its own noise"
    sees = "sees every sum that is released and every global model, and knows all other patients"
    return f"{who}, {sees}, while {_SECURE_SUM.format(least=sharing.least_sites, sites=sharing.sites)}"
