"""Shows a job's plan: in a terminal, and as JSON."""

import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedvoxel.federation.other_settings import START_WITH

if TYPE_CHECKING:
    from fedvoxel.federation.forecast import Forecast
    from fedvoxel.federation.line import Line
    from fedvoxel.federation.site_work import SiteWork
    from fedvoxel.flare.job_plan import JobPlan


@dataclass(frozen=True)
class PlanView:
    """Is all that is shown of a plan.

    Attributes:
        said: The line as it was described, or what was measured.
        missing: Sites that took no part in a measurement, each with the reason.
    """

    job: Path
    plan: "JobPlan"
    line: "Line"
    said: dict[str, Any]
    work: "SiteWork"
    missing: dict[str, str]


def plan_as_json(view: PlanView) -> dict[str, Any]:
    """Returns a plan as a JSON-like mapping; times in seconds, sizes in bytes for one site."""
    plan = view.plan
    return {
        "schema_version": 1,
        "job": str(view.job),
        "rounds": plan.rounds,
        "sites": plan.sites,
        "line": view.said,
        "missing": view.missing,
        "work": asdict(view.work),
        "transfer": _forecast_as_json(plan.transfer),
        "whole": _forecast_as_json(plan.forecast),
        "changes": [
            {"words": change.setting.words, "set": change.setting.values, **_forecast_as_json(change.forecast)}
            for change in plan.changes
        ],
        "warnings": list(plan.warnings),
    }


def show_plan(view: PlanView) -> None:
    """Prints the plan, what each setting would change, and what to do next."""
    console, plan = Console(), view.plan
    title = f"{view.job}: {plan.sites} hospitals, {_line_words(view)}"
    transfer = plan.transfer
    console.print(f"[bold]{escape(title)}[/]", highlight=False)
    for site, reason in view.missing.items():
        console.print(f"[yellow]![/] {escape(site)} took no part in the measurement: {escape(reason)}", highlight=False)
    rounds = f"{plan.rounds} rounds × {_mb(transfer.round_bytes)} MB = {_hours(transfer.rounds_s)} of transfer"
    console.print(f"{rounds}; with all else that travels {_hours(transfer.seconds)}.", highlight=False)
    console.print(_work_words(view), highlight=False)
    console.print(_phases(transfer))
    console.print(_changes(view))
    for warning in plan.warnings:
        console.print(f"[yellow]![/] {escape(warning)}", highlight=False)
    console.print(_next(view), soft_wrap=True, highlight=False)


def _line_words(view: PlanView) -> str:
    said, line = view.said, view.line
    if "mbit" not in said:
        rates = (
            f"{rate * 8 / 1e6:.3g} Mbit/s {way}" for rate, way in ((line.down_bytes_s, "down"), (line.up_bytes_s, "up"))
        )
        return f"measured: {', '.join(rates)} for what is in the packets"
    words = f"each with a line of {said['mbit']:g} Mbit/s, {said['rtt_ms']:g} ms, {said['loss']:.2%} loss"
    return words + (f"; the server's {said['server_mbit']:g} Mbit/s" if said["server_mbit"] else "")


def _work_words(view: PlanView) -> str:
    if view.work.train_s is None:
        return "Training comes on top: say how long with --train-s, or --like an earlier run's outcome.json."
    words = f"With {view.work.train_s:.1f} s of training a round"
    words += f" and {view.work.other_s:.0f} s of other work" if view.work.other_s else ""
    return f"{words}: {_hours(view.plan.forecast.seconds)} in all."


def _phases(transfer: "Forecast") -> Table:
    table = Table(title="What travels, for each hospital", title_justify="left", box=box.SIMPLE)
    table.add_column("")
    for heading in ("times", "hospitals", "MB down", "MB up", "s each", "together"):
        table.add_column(heading, justify="right")
    for phase in transfer.phases:
        step = phase.step
        sizes = (_mb(step.down.size_bytes), _mb(step.up.size_bytes))
        each = f"{phase.seconds / step.times:.1f}"
        table.add_row(step.name, str(step.times), str(step.sites), *sizes, each, _hours(phase.seconds))
    return table


def _changes(view: PlanView) -> Table:
    table = Table(title="What each setting would change", title_justify="left", box=box.SIMPLE)
    table.add_column("setting")
    for heading in ("MB a round", "MB in all", "time", "of the job's own"):
        table.add_column(heading, justify="right")
    own = view.plan.forecast
    rows = [(change.setting.words, change.forecast) for change in view.plan.changes] + [("[bold]as it is[/]", own)]
    for words, found in sorted(rows, key=lambda row: row[1].seconds):
        share = f"{found.seconds / own.seconds:.0%}"
        table.add_row(words, _mb(found.round_bytes), _mb(found.site_bytes), _hours(found.seconds), share)
    return table


def _next(view: PlanView) -> str:
    submit = f"Submit it with: fedvoxel job submit {view.job} --kit KIT"
    setting = next((each.setting for each in view.plan.changes if each.setting.words == START_WITH), None)
    if setting is None:
        return submit
    words = [f"--set {shlex.quote(f'{key}={json.dumps(value)}')}" for key, value in setting.values.items()]
    return (
        "What fewer bytes cost in Dice is in docs/compression.md, which says to start with "
        f"{START_WITH}:\n  fedvoxel job export {view.job} {' '.join(words)} --out NEW\n{submit}"
    )


def _forecast_as_json(found: "Forecast") -> dict[str, Any]:
    phases = [
        {
            "name": phase.step.name,
            "times": phase.step.times,
            "sites": phase.step.sites,
            "bytes_down": phase.step.down.size_bytes,
            "bytes_up": phase.step.up.size_bytes,
            "seconds": phase.seconds,
        }
        for phase in found.phases
    ]
    sizes = {"round_bytes": found.round_bytes, "site_bytes": found.site_bytes}
    return {"seconds": found.seconds, "rounds_s": found.rounds_s, **sizes, "phases": phases}


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.3g}" if not 0 < size_bytes < 1000 else "<0.001"


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.2f} h" if hours >= 0.1 else f"{seconds:.1f} s"
