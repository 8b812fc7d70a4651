"""Draws a job under way for a terminal: rounds, sites, Dice and time left. A pure function of what was seen."""

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fedvoxel.ops.progress import Progress, SiteState, SiteStep
from fedvoxel.ops.snapshot import LOGGING_IN, Snapshot

_STATE_STYLES = {
    "training": "cyan",
    "replied": "green",
    "missing": "bold red",
    "refused": "bold red",
    "evaluation_only": "dim",
    "waiting": "dim",
    "not_selected": "dim",
}
_BARS = "▁▂▃▄▅▆▇█"


def render(snapshot: Snapshot, now: float) -> RenderableType:
    """Draws the snapshot.

    Args:
        snapshot: What was seen.
        now: Seconds since the epoch, for the times.
    """
    title = Text.assemble((snapshot.job_name or "job", "bold"), f"  {snapshot.job_id}  ", (snapshot.status, "bold"))
    if snapshot.finished:
        return Group(title, _farewell(snapshot))
    if snapshot.progress is None:
        return Group(title, Text(_without_progress(snapshot), "dim"))
    progress = snapshot.progress
    return Group(title, _rounds(progress, now), _sites(snapshot), *_waits(progress, now), *_validation(progress))


def _without_progress(snapshot: Snapshot) -> str:
    if snapshot.status == "RUNNING":
        return snapshot.note or "The job runs; its first round has not begun."
    return f"Waiting to start. {snapshot.note or ''}".rstrip()


def duration(seconds: float) -> str:
    """Returns a time for people: "45 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _rounds(progress: Progress, now: float) -> RenderableType:
    done = (
        progress.rounds_planned if progress.phase in ("test", "done") else min(progress.round, progress.rounds_planned)
    )
    elapsed = duration(max(now - progress.started, 0.0))
    line = Table.grid(padding=(0, 2))
    line.add_row(
        ProgressBar(total=progress.rounds_planned, completed=done, width=24),
        f"round {progress.round} ({progress.phase}), {done} of {progress.rounds_planned} done",
    )
    attempt = f", attempt {progress.attempts}" if progress.attempts > 1 else ""
    return Group(line, Text(f"{elapsed} so far{attempt}, {_time_left(progress, now)}"))


def _time_left(progress: Progress, now: float) -> str:
    left = progress.seconds_left(now)
    if left is None:
        return "time left known after the first round"
    if progress.phase == "test":
        return "testing on unseen cases"
    return f"about {duration(left)} left" if progress.phase != "done" else "done"


def _sites(snapshot: Snapshot) -> RenderableType:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for heading in ("site", "state", "step", "loss", "Dice"):
        table.add_column(heading, justify="left" if heading in ("site", "state") else "right")
    table.add_column("reason", overflow="fold")
    progress = snapshot.progress
    if progress is not None:
        for site, state in progress.sites.items():
            table.add_row(*_site_row(site, state, snapshot.steps.get(site), _latest_dice(progress, site)))
    return table


def _site_row(site: str, state: SiteState, step: SiteStep | None, dice: float | None) -> tuple[RenderableType, ...]:
    busy = step if state.state == "training" else None
    loss = "" if step is None or step.loss is None else f"{step.loss:.3f}"
    return (
        escape(site),
        Text(state.state.replace("_", " "), _STATE_STYLES[state.state]),
        "" if busy is None else f"{busy.step}/{busy.steps}",
        loss,
        "" if dice is None else f"{dice:.3f}",
        escape(state.reason or ""),
    )


def _waits(progress: Progress, now: float) -> list[RenderableType]:
    """Says of each wait whom it is for, since when, how long it may still last, and why."""
    return [
        Text(
            f"waiting for {wait.site} since {duration(max(now - wait.since, 0.0))}, "
            f"{duration(max(wait.until - now, 0.0))} more at most: {wait.reason}",
            "dim",
        )
        for wait in progress.waits
    ]


def _latest_dice(progress: Progress, site: str) -> float | None:
    found = (point.sites.get(site) for point in reversed(progress.validation))
    return next((value for value in found if value is not None), None)


def _validation(progress: Progress) -> list[RenderableType]:
    points = [(point.round, point.mean_dice) for point in progress.validation]
    known = [(index, value) for index, value in points if value is not None]
    if not known:
        return []
    best, value = max(known, key=lambda point: point[1])
    bars = "".join(_BARS[min(int(found * len(_BARS)), len(_BARS) - 1)] for _, found in known)
    return [Text(f"validation Dice {bars} {known[-1][1]:.3f}, best {value:.3f} in round {best}")]


def _farewell(snapshot: Snapshot) -> RenderableType:
    if snapshot.resumed_as is not None:
        if snapshot.resumed_as:
            goes_on = "The job was interrupted. Its run goes on after the last committed round"
            return Text(f"{goes_on}, as job {snapshot.resumed_as}.")
        if snapshot.note and snapshot.note.startswith(LOGGING_IN):
            return Text(f"The job was interrupted. {snapshot.note}")
        waits = snapshot.note or "for the server to submit it"
        return Text(f"The job was interrupted. The next job of its run waits {waits}.")
    return Text(
        f"FLARE ended the job as {snapshot.status}, which is not the outcome. To see that, with its claim on privacy: "
        f"download_job {snapshot.job_id} in the admin console, then fedvoxel results FOLDER/{snapshot.job_id}"
    )
