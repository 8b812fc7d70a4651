"""Writes a comparison of jobs for people and programs: `comparison.html`, `comparison.json` and `curves.png`."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from fedvoxel.evaluation.comparison.result import Comparison, Difference, JobRow
from fedvoxel.evaluation.figures import SITE_COLOURS, SITE_MARKERS, Picture, new_figure, picture_of
from fedvoxel.evaluation.gain import signed
from fedvoxel.records.atomic import write_bytes, write_json, write_text

_UNKNOWN = "\N{EN DASH}"


@dataclass(frozen=True)
class ComparisonPaths:
    """Holds where a comparison was written."""

    html: Path
    json: Path
    curves: Path


def write_comparison(folder: Path, comparison: Comparison) -> ComparisonPaths:
    """Writes the page, the figures and the picture into `folder`, atomically, replacing older ones.

    Raises:
        OSError: The folder cannot be written.
    """
    paths = ComparisonPaths(folder / "comparison.html", folder / "comparison.json", folder / "curves.png")
    picture = draw_curves(comparison.rows)
    write_bytes(paths.curves, picture.png)
    write_json(paths.json, comparison.model_dump(mode="json"))
    write_text(paths.html, render_comparison(comparison, picture))
    return paths


def render_comparison(comparison: Comparison, picture: Picture) -> str:
    """Renders the comparison as one HTML page that needs no other file."""
    from jinja2 import Environment, StrictUndefined

    template = files("fedvoxel.evaluation.comparison").joinpath("template.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        comparison=comparison,
        picture=picture,
        png=base64.b64encode(picture.png).decode("ascii"),
        number=number,
        difference=difference_text,
        megabytes=megabytes,
        sites=sorted({site for row in comparison.rows for site in row.sites}),
    )


def draw_curves(rows: Sequence[JobRow]) -> Picture:
    """Draws validation Dice over rounds, a line for each job."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(7.0, 3.8)
    axes = figure.subplots()
    for index, row in enumerate(rows):
        values = [float("nan") if value is None else value for value in row.curve]
        colour, marker = SITE_COLOURS[index % len(SITE_COLOURS)], SITE_MARKERS[index % len(SITE_MARKERS)]
        axes.plot(range(len(values)), values, color=colour, marker=marker, markersize=4, linewidth=1.3, label=row.job)
    axes.set_xlabel("round (0 is the first)")
    axes.set_ylabel("validation Dice, mean over seeds")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.legend(frameon=False)
    ends = ", ".join(f"{row.job} {number(row.curve[-1] if row.curve else None)}" for row in rows)
    return picture_of(figure, "Learning curves", f"Validation Dice of the common model by round; at the end: {ends}.")


def number(value: float | None) -> str:
    """Returns a Dice with four decimals: jobs are often closer than a hundredth."""
    return _UNKNOWN if value is None else f"{value:.4f}"


def difference_text(found: Difference) -> str:
    """Returns a difference with its interval: "+0.004 (−0.001 to +0.009)"; a dash where nothing can be said."""
    if found.mean is None or found.low is None:
        return signed(found.mean)
    return f"{signed(found.mean)} ({signed(found.low)} to {signed(found.high)})"


def megabytes(size_bytes: float) -> str:
    """Returns millions of bytes with one decimal."""
    return f"{size_bytes / 1e6:.1f}"
