"""Renders a quarter's report as one HTML page that needs nothing else."""

from fedvoxel.evaluation.cohorts.closed_page import render_page
from fedvoxel.governance.quarter.report import QuarterReport

_STATUS = {
    "finished": "finished",
    "stopped_early": "stopped early, as its job says",
    "failed": "failed",
    "aborted": "aborted",
    "unfinished": "not ended",
}


def render_quarter(report: QuarterReport) -> str:
    """Returns the page."""
    costs = [run.cost for run in report.runs if run.cost]
    return render_page(
        "template.html",
        room="ops/quarter",
        report=report,
        status=_STATUS,
        hours=hours,
        size=size,
        promoted=len({(model.name, model.version) for model in report.models or () if model.state == "released"}),
        all_hours=sum(cost.hours for cost in costs),
        all_bytes=sum(cost.bytes_up + cost.bytes_down for cost in costs),
        words=list(dict.fromkeys(cost.privacy for cost in costs)),
    )


def hours(value: float) -> str:
    """Returns a time in hours, or in minutes where that is less than one."""
    return f"{value:.1f} h" if value >= 1.0 else f"{value * 60.0:.0f} min"


def size(count: float) -> str:
    """Returns bytes in the largest decimal unit of which there is at least one."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"
