"""Mechanisms: one object owns clip bound, weighting, sampling, noise scale and accounting event.

Each of these alone is easy, and each disagreement between them voids the guarantee without a sign: noise scaled to
another bound than the clip's, a mean over the batch that happened to be drawn, shuffled batches accounted as Poisson
samples. So all of them are read from one configuration, in one place, and nobody else scales or adds anything.

What remains of attacks on floating-point arithmetic is said in `noise`, and for the grids that sums are put on in
`patient_mechanism` and `hospital_mechanism`.
"""

from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
from fedvoxel.privacy.noise import Noise
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.sections import HospitalMechanismConfig, MechanismConfig, PatientMechanismConfig, PrivacySection

__all__ = [
    "HospitalMechanism",
    "HospitalMechanismConfig",
    "MechanismConfig",
    "PatientMechanism",
    "PatientMechanismConfig",
    "PrivacySection",
    "build_mechanism",
]


def build_mechanism(config: MechanismConfig, noise: Noise | None = None) -> PatientMechanism | HospitalMechanism:
    """Returns the mechanism that a job's section describes; see the mechanisms on `noise`."""
    if isinstance(config, PatientMechanismConfig):
        return PatientMechanism(config, noise)
    return HospitalMechanism(config, noise)
