"""What a training run may claim about privacy, from what its job says; refuses a job that would not keep the claim."""

from typing import Any

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.federation.rounds import RoundsConfig
from fedvoxel.privacy.guarantee import NO_GUARANTEE
from fedvoxel.privacy.sections import PatientMechanismConfig


def claim_of(privacy: Any, rounds: RoundsConfig) -> str:
    """Returns the claim for each patient, in words, for as many rounds as are planned.

    Args:
        privacy: The job's privacy section as JSON; None protects nobody.
        rounds: The job's rounds.

    Raises:
        ConfigError: The section is wrong, or sites would send scores beside their releases.
    """
    if privacy is None:
        return NO_GUARANTEE
    section = parse_config(PatientMechanismConfig, privacy, "the job's privacy section")
    check_nothing_else_leaves(rounds)
    # The accountant behind it takes a second to import, which other jobs are spared.
    from fedvoxel.privacy.patient_mechanism import PatientMechanism

    guarantee = PatientMechanism(section).guarantee(rounds.num_rounds)
    return guarantee.said() if guarantee else NO_GUARANTEE


def check_nothing_else_leaves(rounds: RoundsConfig) -> None:
    """Checks that a job under a privacy section asks sites for nothing but their releases.

    Raises:
        ConfigError: It asks for scores.
    """
    if rounds.evaluate:
        raise ConfigError("rounds.evaluate: scores would leave the sites without a guarantee; expected false")
