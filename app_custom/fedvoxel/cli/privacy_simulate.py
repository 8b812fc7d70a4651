"""`fedvoxel privacy simulate`: what a job, or a plan in numbers, would cost, and whether a budget covers it."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedvoxel.cli.privacy_view import at_most, print_json, show_simulation
from fedvoxel.privacy.spare_draws import MOST_SPARE_DRAWS, rounds_and_spare

if TYPE_CHECKING:
    from fedvoxel.flare.job_cost import Decision, JobCost
    from fedvoxel.privacy.ledger_entries import RunPlan

CUT = 15
"""Exit code: the hospital would take part, and stop before the last planned round."""

REFUSED = 13
"""Exit code: the hospital would answer no round."""

SIMULATE_EXAMPLE = "Example: fedvoxel privacy simulate jobs/hippocampus_dp_patient --kit hospital-a"


JobArgument = Annotated[
    Path | None, typer.Argument(help="A job folder; or leave it out and give numbers.", show_default=False)
]
KitOption = Annotated[Path | None, typer.Option("--kit", help="Your hospital's kit: would its budget cover the job?")]
SamplingOption = Annotated[
    float | None, typer.Option(help="Probability with which each patient takes part in a step; 1 for all.")
]
StepsOption = Annotated[int | None, typer.Option(min=1, help="Noisy steps in one round.")]
RoundsOption = Annotated[int | None, typer.Option(min=1, help="Rounds of the run.")]
SpareOption = Annotated[
    int | None,
    typer.Option(
        min=0, max=MOST_SPARE_DRAWS, help="Draws beyond the rounds, for those that crashes cost; 0 unless given."
    ),
]
DeltaOption = Annotated[
    float | None, typer.Option(help="The run's delta; at most a tenth of one over the number of patients.")
]
NoiseOption = Annotated[
    float | None, typer.Option(help="Noise over sensitivity; left out: the least that --epsilon allows.")
]
EpsilonOption = Annotated[float | None, typer.Option(help="The budget to stay within.")]
UnitOption = Annotated[str | None, typer.Option(help="Who is protected: patient (default) or hospital.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]


def simulate(
    job: JobArgument = None,
    kit: KitOption = None,
    sampling_probability: SamplingOption = None,
    steps: StepsOption = None,
    rounds: RoundsOption = None,
    spare_draws: SpareOption = None,
    delta: DeltaOption = None,
    noise_multiplier: NoiseOption = None,
    epsilon: EpsilonOption = None,
    unit: UnitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Computes what a job, or a plan in numbers, would cost with its spare draws, before you accept it. Spends nothing.

    With --kit, exit code 0 says that the budget covers all rounds, 15 that your site would stop before the last one,
    and 13 that it would answer none.

    Without a job, give --sampling-probability, --steps, --rounds, --delta, and --noise-multiplier or --epsilon or both.
    """
    numbers = {
        "sampling_probability": sampling_probability,
        "steps": steps,
        "rounds": rounds,
        "spare_draws": spare_draws,
        "delta": delta,
        "noise_multiplier": noise_multiplier,
        "epsilon": epsilon,
        "unit": unit,
    }
    given = [_option(name) for name, value in numbers.items() if value is not None]
    if job is not None:
        if given:
            raise typer.BadParameter("the job says it; leave it out, or the job", param_hint=given[0])
        _of_job(job, kit, as_json)
    elif kit is not None:
        raise typer.BadParameter("goes with a job, which says which cohort it is about", param_hint="--kit")
    else:
        _of_numbers(numbers, as_json)


def _of_numbers(numbers: dict[str, Any], as_json: bool) -> None:
    from fedvoxel.privacy.guarantee import ACCOUNTANT
    from fedvoxel.privacy.simulation import simulate as simulated

    spare = numbers["spare_draws"] or 0
    result = simulated(_plan(numbers, spare), numbers["epsilon"], spare)
    if as_json:
        cost = {"epsilon": _finite(result.epsilon), "most_rounds": result.most_rounds, "accountant": ACCOUNTANT}
        print_json({"plan": result.plan.model_dump(mode="json"), **cost})
        return
    show_simulation(result, numbers["epsilon"])


def _plan(numbers: dict[str, Any], spare: int) -> "RunPlan":
    from fedvoxel.config import parse_config
    from fedvoxel.privacy.accounting import noise_multiplier as calibrated
    from fedvoxel.privacy.ledger_entries import RunPlan

    for name in ("sampling_probability", "steps", "rounds", "delta"):
        if numbers[name] is None:
            raise typer.BadParameter("give a job folder, or this and the other numbers", param_hint=_option(name))
    noise, probability = numbers["noise_multiplier"], numbers["sampling_probability"]
    draws = numbers["rounds"] + spare
    if noise is None:
        if numbers["epsilon"] is None:
            raise typer.BadParameter("give it, or --epsilon, or both", param_hint="--noise-multiplier")
        noise = calibrated(numbers["epsilon"], numbers["delta"], probability, draws * numbers["steps"])
    event = {"noise_multiplier": noise, "sampling_probability": probability, "count": numbers["steps"]}
    values = {"unit": numbers["unit"] or "patient", "event": event, "draws": draws}
    return parse_config(RunPlan, {**values, "delta": numbers["delta"]}, "the plan")


def _of_job(job: Path, kit: Path | None, as_json: bool) -> None:
    from fedvoxel.flare.job_cost import cost_of_job, decide
    from fedvoxel.flare.job_kinds import understand
    from fedvoxel.governance.job_folder import read_job_folder

    content = understand(read_job_folder(job))
    cost = cost_of_job(content)
    decision = None if kit is None else decide(content, cost, kit)
    if as_json:
        print_json(_job_json(job, cost, decision))
    else:
        _show_job(cost, decision)
    if decision and decision.verdict != "fits":
        raise typer.Exit(CUT if decision.verdict == "cut" else REFUSED)


def _job_json(job: Path, cost: "JobCost", decision: "Decision | None") -> dict[str, Any]:
    claim = cost.claim.claim
    return {
        "job": str(job),
        "claim": claim.text,
        "condition": cost.claim.condition,
        "guarantee": claim.guarantee and claim.guarantee.model_dump(mode="json"),
        "channels": [channel.model_dump() for channel in claim.channels],
        "rounds": cost.rounds,
        "spare_draws": cost.spare_draws,
        "plan": cost.plan and cost.plan.model_dump(mode="json"),
        "epsilon": _finite(cost.epsilon),
        "epsilon_of_one_round": _finite(cost.epsilon_of_one_round),
        "decision": decision and asdict(decision),
    }


def _show_job(cost: "JobCost", decision: "Decision | None") -> None:
    from fedvoxel.privacy.guarantee import NEIGHBOURING

    claim, plan = cost.claim.claim, cost.plan
    if plan is None or cost.epsilon is None or cost.epsilon_of_one_round is None:
        typer.echo("Cost: nothing is counted, as the job has no privacy section; nobody is protected.")
    else:
        alone, whole = at_most(cost.epsilon_of_one_round), rounds_and_spare(cost.rounds, cost.spare_draws)
        typer.echo(
            f"Cost: epsilon {at_most(cost.epsilon)} at delta {plan.delta:g} for each {plan.unit} "
            f"({NEIGHBOURING[plan.unit]}) over {whole}; one round alone: {alone}"
        )
    typer.echo(f"Claim: {claim.text}")
    if cost.claim.condition:
        typer.echo(f"Provided that {cost.claim.condition}")
    typer.echo("Ways out for what your cases hold:")
    for channel in claim.channels:
        typer.echo(f"  {channel.status:8}{channel.name}: {channel.why}")
    if decision:
        _show_decision(decision, cost)


def _show_decision(decision: "Decision", cost: "JobCost") -> None:
    said = {
        "fits": f"your site would answer all {cost.rounds} rounds",
        "cut": f"your site would answer {decision.rounds} of {cost.rounds} rounds; the run then goes on without it",
        "refused": "your site would answer no round",
    }
    typer.echo(f"Your hospital, cohort {decision.cohort}: {said[decision.verdict]}")
    if decision.reason:
        typer.echo(f"  {decision.reason}")
    elif cost.spare_draws:
        typer.echo(
            f"  its budget covers {decision.spare_draws} of {cost.spare_draws} spare draws, for what crashes cost"
        )
    if decision.left is not None:
        left = math.floor(decision.left * 1e3) / 1e3
        typer.echo(
            f"  charged to {', '.join(decision.charged)}; epsilon {left:.3f} left, enough for {decision.most_rounds} "
            "rounds of this kind in a new run" + (f", beside its {cost.spare_draws} spare" if cost.spare_draws else "")
        )


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _finite(epsilon: float | None) -> float | None:
    """Returns an epsilon that JSON can hold: none where it bounds nothing."""
    return epsilon if epsilon is not None and math.isfinite(epsilon) else None
