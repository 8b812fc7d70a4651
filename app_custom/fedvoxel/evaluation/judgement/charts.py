"""Draws a judgement as vector pictures: every case's Dice, volumes, confidence, and differences to another."""

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedvoxel.evaluation.figures import PREDICTION_COLOUR, SITE_COLOURS, SITE_MARKERS, new_figure
from fedvoxel.evaluation.judgement.comparison import Comparison, Difference
from fedvoxel.evaluation.judgement.judgement import CaseRow, Judgement, ScoreRow
from fedvoxel.evaluation.judgement.summary import StructureResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SAME_BYTES: Any = {"svg.hashsalt": "fedvoxel", "svg.fonttype": "path"}
_COLUMNS = 2
_MISSED = "#b3261e"
_JITTER = 0.28


@dataclass(frozen=True)
class Chart:
    """Is a picture of the report.

    Attributes:
        alt: What it shows, for those who cannot see it.
        svg: Its bytes.
    """

    alt: str
    svg: bytes


def dice_chart(judgement: Judgement) -> Chart:
    """Draws each case's Dice by hospital, one panel for each structure; what was missed is a cross."""
    hospitals = judgement.data.hospitals
    figure, panels = _panels(len(judgement.structures), 0.8 + 0.42 * len(hospitals))
    least = _floor(judgement)
    for axes, one in zip(panels, judgement.structures, strict=False):
        for place, hospital in enumerate(hospitals):
            _strip(axes, place, [row for row in judgement.cases if row.hospital == hospital], one.name)
        if one.dice.value is not None:
            axes.axvline(one.dice.value, color="#1b2733", linewidth=1.2)
        axes.set_yticks(range(len(hospitals)), [_plain(name) for name in hospitals])
        axes.set_ylim(len(hospitals) - 0.5, -0.5)
        axes.set_xlim(least, 1.01)
        axes.set_xlabel("Dice of each case; the line is the mean")
        _frame(axes, one.label)
    return _chart(figure, "Dice of each case, by hospital and structure. The table of scores has the numbers.")


def volume_chart(judgement: Judgement) -> Chart:
    """Draws Bland and Altman's picture for each structure: difference over mean, with bias and limits."""
    figure, panels = _panels(len(judgement.structures), 2.9)
    for axes, one in zip(panels, judgement.structures, strict=False):
        _bland_altman(axes, one, [row.scores[one.name] for row in judgement.cases])
    return _chart(figure, "Predicted minus true volume over their mean, with bias and limits of agreement.")


def confidence_chart(judgement: Judgement) -> Chart:
    """Draws how often the model is right where it says so, for each structure."""
    figure, panels = _panels(len(judgement.structures), 2.9)
    for axes, one in zip(panels, judgement.structures, strict=False):
        bins = [part for part in one.calibration.bins if part.high > judgement.settings.calibration_band]
        axes.plot([0, 1], [0, 1], color="#55636f", linewidth=1, linestyle="dashed")
        axes.plot([part.said for part in bins], [part.true for part in bins], color=SITE_COLOURS[0], marker="o", ms=4)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="what the model says", ylabel="how often it is so")
        _frame(axes, one.label)
    return _chart(figure, "How often voxels belong to the structure, over what the model says. Dashed: perfect.")


def difference_chart(comparison: Comparison, labels: dict[str, str]) -> Chart:
    """Draws the differences to another with their intervals, for all cases and each hospital or other subgroup."""
    lists = [[test.whole, *_groups(comparison, test.whole.structure)] for test in comparison.tests]
    figure, panels = _panels(len(lists), 0.9 + 0.3 * max(map(len, lists)))
    for axes, rows in zip(panels, lists, strict=False):
        _forest(axes, rows, comparison.margin)
        _frame(axes, labels[rows[0].structure])
    return _chart(figure, "Mean differences with 95 % intervals, for all cases and in subgroups.")


def _floor(judgement: Judgement) -> float:
    """Returns where the axis of Dice begins: a little below the worst case."""
    found = [score.dice for row in judgement.cases for score in row.scores.values() if score.dice is not None]
    return math.floor(10 * min(found, default=0.0) - 0.5) / 10 if min(found, default=0.0) > 0 else -0.02


def _groups(comparison: Comparison, structure: str) -> list[Difference]:
    return [row for row in comparison.groups if row.structure == structure]


def _panels(count: int, height: float) -> "tuple[Figure, list[Axes]]":
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    figure = new_figure(9.0 if count > 1 else 5.6, height * rows)
    panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels


def _strip(axes: "Axes", place: int, rows: Sequence[CaseRow], name: str) -> None:
    known = sorted((score.dice, score.finding) for row in rows if (score := row.scores[name]).dice is not None)
    for number, (dice, finding) in enumerate(known):
        # Cases that lie close to each other are drawn below and above the line in turn.
        height = place + _JITTER * ((number % 3) - 1) / 1.5
        failed = finding != "found"
        axes.plot(
            [dice],
            [height],
            marker="x" if failed else SITE_MARKERS[place % len(SITE_MARKERS)],
            color=_MISSED if failed else SITE_COLOURS[place % len(SITE_COLOURS)],
            markersize=6 if failed else 4,
            markeredgewidth=1.6 if failed else 0.4,
            alpha=1.0 if failed else 0.75,
            linestyle="none",
        )


def _bland_altman(axes: "Axes", one: StructureResult, scores: Iterable[ScoreRow]) -> None:
    shown = [score for score in scores if score.finding != "absent"]
    pairs = [(score.predicted_ml, score.truth_ml) for score in shown]
    axes.plot(
        [(first + second) / 2 for first, second in pairs],
        [first - second for first, second in pairs],
        marker="o",
        markersize=4,
        alpha=0.75,
        color=SITE_COLOURS[0],
        linestyle="none",
    )
    axes.axhline(0, color="#55636f", linewidth=0.8)
    if one.volume is not None:
        for limit, style in ((one.volume.bias, "solid"), (one.volume.lower, "dashed"), (one.volume.upper, "dashed")):
            axes.axhline(limit.value_ml, color=PREDICTION_COLOUR, linestyle=style, linewidth=1.6)
            axes.axhspan(limit.low_ml, limit.high_ml, color=PREDICTION_COLOUR, alpha=0.12, linewidth=0)
    axes.set(xlabel="mean of both volumes (mL)", ylabel="predicted − true (mL)")
    _frame(axes, one.label)


def _forest(axes: "Axes", rows: Sequence[Difference], margin: float | None) -> None:
    names = [_plain(_name(row)) for row in rows]
    for place, row in enumerate(rows):
        found = row.difference
        if found.value is None:
            continue
        colour = {"better": "#00694b", "worse": _MISSED}.get(row.verdict, SITE_COLOURS[0])
        low, high = (found.value if end is None else end for end in (found.low, found.high))
        axes.plot([low, high], [place, place], color=colour, linewidth=2)
        axes.plot([found.value], [place], marker="D" if row.group is None else "o", color=colour, markersize=6)
    axes.axvline(0, color="#1b2733", linewidth=1)
    if margin is not None:
        axes.axvline(-margin, color=_MISSED, linewidth=1.2, linestyle="dashed")
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("worse  ←  difference  →  better")


def _name(row: Difference) -> str:
    if row.group is None:
        return "all cases"
    return row.group if row.kind == "hospital" else f"{row.kind}: {row.group}"


def _plain(text: str) -> str:
    """Returns a text that is drawn as it stands: between two dollar signs matplotlib expects a formula."""
    return text.replace("$", r"\$")


def _frame(axes: "Axes", title: str) -> None:
    axes.set_title(_plain(title), fontsize=10, fontweight="bold")
    axes.tick_params(labelsize=8.5)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_fontsize(9)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _chart(figure: "Figure", alt: str) -> Chart:
    from matplotlib import rc_context

    stream = io.BytesIO()
    with rc_context(_SAME_BYTES):
        figure.savefig(stream, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return Chart(alt, stream.getvalue())
