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
        spare: How many of its draws are spare ones.
        epsilon: What all its draws cost at `plan.delta`.
        most_rounds: How many rounds of this kind the wanted epsilon allows beside as many spare draws, at most
            `MAX_DRAWS` in all; None if none was given.
    """

    plan: RunPlan
    spare: int
    epsilon: float
    most_rounds: int | None


def plan_of(section: PatientMechanismConfig | HospitalMechanismConfig, rounds: int) -> RunPlan:
    """Returns what a run under a job's privacy section declares for so many rounds, its spare draws with them.

    Raises:
        ConfigError: It has no round, or is more steps than can be accounted for.
    """
    if isinstance(section, PatientMechanismConfig):
        event = PatientMechanism(section).round_event()
    else:
        event = HospitalMechanism(section).round_event()
    values = {"unit": section.unit, "event": event.model_dump(), "draws": section.draws(rounds), "delta": section.delta}
    return parse_config(RunPlan, values, "the plan of all rounds and spare draws")


def simulate(plan: RunPlan, wanted_epsilon: float | None = None, spare: int = 0) -> Simulation:
    """Returns what `plan` costs and, for a wanted epsilon, how many rounds of its kind that allows.

    Args:
        plan: The plan, of rounds and spare draws.
        wanted_epsilon: What is not to be passed.
        spare: How many of the draws are spare ones.
    """
    most = None if wanted_epsilon is None else max(0, most_draws(plan, wanted_epsilon) - spare)
    return Simulation(plan, spare, planned_epsilon(plan), most)
