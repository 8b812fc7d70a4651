"""What a planned run would cost: epsilon for so many releases, or releases for so much epsilon. Spends nothing."""

from dataclasses import dataclass

from fedvoxel.config import parse_config
from fedvoxel.privacy.charging import most_draws
from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.sections import HospitalMechanismConfig, PatientMechanismConfig
from fedvoxel.privacy.spending import planned_epsilon


@dataclass(frozen=True)
class Simulation:
    """Is the cost of a plan; nothing was released, so that it is no claim.

    Attributes:
        plan: The plan.
        epsilon: What all its draws cost at `plan.delta`.
        most_draws: How many draws of this kind the wanted epsilon allows, at most `MAX_DRAWS`; None if none was given.
    """

    plan: RunPlan
    epsilon: float
    most_draws: int | None


def plan_of(section: PatientMechanismConfig | HospitalMechanismConfig, rounds: int) -> RunPlan:
    """Returns what a run under a job's privacy section declares for so many rounds.

    Raises:
        ConfigError: It is more steps than can be accounted for.
    """
    if isinstance(section, PatientMechanismConfig):
        event = PatientMechanism(section).round_event()
    else:
        event = HospitalMechanism(section).round_event()
    values = {"unit": section.unit, "event": event.model_dump(), "draws": rounds, "delta": section.delta}
    return parse_config(RunPlan, values, "the plan of all rounds")


def simulate(plan: RunPlan, wanted_epsilon: float | None = None) -> Simulation:
    """Returns what `plan` costs and, for a wanted epsilon, how many draws of its kind that allows."""
    most = None if wanted_epsilon is None else most_draws(plan, wanted_epsilon)
    return Simulation(plan, planned_epsilon(plan), most)
