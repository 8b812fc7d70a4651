"""How `fedvoxel privacy` shows ledgers and plans: epsilon is rounded up, and never shown without whom it is about."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from fedvoxel.privacy.ledger_status import LedgerStatus
    from fedvoxel.privacy.simulation import Simulation


def status_json(shown: "LedgerStatus") -> dict[str, Any]:
    """Returns one cohort's ledger as JSON values."""
    from fedvoxel.privacy.guarantee import ACCOUNTANT, NEIGHBOURING

    return {
        "cohort": shown.cohort,
        "budget": shown.budget.model_dump(mode="json", exclude_none=True),
        "spent": {"epsilon": shown.spent_epsilon, "delta": shown.spent_delta},
        "remaining": {"epsilon": shown.remaining_epsilon, "delta": shown.remaining_delta},
        "neighbouring": NEIGHBOURING[shown.unit],
        "accountant": ACCOUNTANT,
        "runs": [{**asdict(run), "plan": run.plan.model_dump(mode="json")} for run in shown.runs],
        "gaps": [gap.model_dump(mode="json") for gap in shown.gaps],
        "entries": shown.entries,
        "head": shown.head,
    }


def show_status(shown: "LedgerStatus") -> None:
    """Prints one cohort's ledger: whom it protects, what is spent and left, runs and gaps."""
    from rich.console import Console
    from rich.markup import escape

    from fedvoxel.privacy.guarantee import ACCOUNTANT, NEIGHBOURING

    budget, console = shown.budget, Console()
    console.print(
        f"[bold]{escape(shown.cohort)}[/bold]  each {shown.unit} ({NEIGHBOURING[shown.unit]}), by {ACCOUNTANT}"
    )
    spent, left = at_most(shown.spent_epsilon), math.floor(shown.remaining_epsilon * 1e3) / 1e3
    console.print(f"epsilon: {spent} of {budget.epsilon:g} spent, {left:.3f} left")
    console.print(f"delta: {shown.spent_delta:g} of {budget.delta:g} spent, {shown.remaining_delta:g} left")
    if shown.runs:
        console.print(_runs_table(shown))
    for gap in shown.gaps:
        console.print(
            f"gap: epsilon {gap.epsilon:g}, delta {gap.delta:g}, {escape(gap.operator)}: {escape(gap.reason)}",
            highlight=False,
        )


def show_unprotected(without_guarantee: Sequence[str], public: Sequence[str]) -> None:
    """Prints the cohorts without a budget, by what the hospital has decided instead."""
    from fedvoxel.privacy.guarantee import NO_GUARANTEE

    for name in without_guarantee:
        typer.echo(f"{name}: {NO_GUARANTEE}; updates about it may leave, and no budget is kept")
    for name in public:
        typer.echo(f"{name}: declared public; updates about it may leave, and nothing is counted")


def show_simulation(result: "Simulation", wanted_epsilon: float | None) -> None:
    """Prints what a plan costs."""
    from fedvoxel.privacy.guarantee import ACCOUNTANT
    from fedvoxel.privacy.spare_draws import rounds_and_spare

    plan, event = result.plan, result.plan.event
    draws = rounds_and_spare(plan.draws - result.spare, result.spare)
    typer.echo(
        f"{draws} of {event.count} steps, noise multiplier {event.noise_multiplier:.4g}, sampling probability "
        f"{event.sampling_probability:g}: epsilon {at_most(result.epsilon)} at delta {plan.delta:g} for "
        f"each {plan.unit} (by {ACCOUNTANT})"
    )
    if result.most_rounds is not None:
        beside = f" beside {result.spare} spare" if result.spare else ""
        typer.echo(f"epsilon {wanted_epsilon:g} allows {result.most_rounds} rounds of this kind{beside}")


def _runs_table(shown: "LedgerStatus") -> "Table":
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for heading in ("run", "noise", "sampling", "steps", "drawn", "kept", "sent", "epsilon", "delta"):
        table.add_column(heading, justify="left" if heading == "run" else "right")
    for run in shown.runs:
        event = run.plan.event
        numbers = f"{event.noise_multiplier:g}", f"{event.sampling_probability:g}", str(event.count)
        drawn = f"{run.drawn} of {run.plan.draws}" + (" (closed)" if run.closed else "")
        counts = drawn, str(run.kept), str(run.sent)
        table.add_row(escape(run.run_key), *numbers, *counts, at_most(run.epsilon), f"{run.plan.delta:g}")
    return table


def at_most(epsilon: float) -> str:
    """Returns epsilon with three decimals, rounded up: a text never promises more than the number."""
    return f"{math.ceil(epsilon * 1e3) / 1e3:.3f}" if math.isfinite(epsilon) else "infinite"


def print_json(values: dict[str, Any]) -> None:
    """Prints a command's answer for programs."""
    typer.echo(json.dumps({"schema_version": 1, **values}, indent=2))
