"""Renders a judgement as one HTML file that needs nothing else, on the screen and on paper."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedvoxel.evaluation.cohorts.closed_page import render_page
from fedvoxel.evaluation.cohorts.outlines import Ring
from fedvoxel.evaluation.cohorts.tile_layout import Place, place_views, row_height
from fedvoxel.evaluation.figures import PREDICTION_COLOUR, TRUTH_COLOUR
from fedvoxel.evaluation.judgement import number_text
from fedvoxel.evaluation.judgement.case_views import CaseViews
from fedvoxel.evaluation.judgement.charts import Chart, confidence_chart, dice_chart, difference_chart, volume_chart
from fedvoxel.evaluation.judgement.comparison import NOTABLE, Comparison
from fedvoxel.evaluation.judgement.judgement import CaseRow, Judgement
from fedvoxel.evaluation.judgement.metric_choice import CHOICES
from fedvoxel.evaluation.judgement.summary import GroupRow

_WIDTH, _HEIGHT = 720.0, 300.0
_KINDS = {
    "hospital": "Hospital",
    "strength": "Field strength",
    "scanner": "Scanner",
    "sex": "Sex",
    "age": "Age in years",
}
_FINDINGS = {
    "missed": "missed",
    "misplaced": "in another place",
    "false_alarm": "not there, but found",
    "absent": "rightly not found",
}

_METRICS = {"dice": "Dice", "nsd": "NSD"}

Views = Mapping[tuple[str, str], CaseViews]


@dataclass(frozen=True)
class DrawnView:
    """Is a slice with its outlines as paths in the picture's own units."""

    place: Place
    truth: tuple[str, ...]
    model: tuple[str, ...]


@dataclass(frozen=True)
class DrawnCase:
    """Is a case with its slices."""

    row: CaseRow
    views: tuple[DrawnView, ...]
    height: float
    window: str


def render_judgement(judgement: Judgement, views: Views) -> str:
    """Renders a judgement as HTML.

    Args:
        judgement: What is shown.
        views: Slices of some cases, by case and hospital.
    """
    labels = {one.name: one.label for one in judgement.structures}
    comparison = judgement.comparison
    charts = [dice_chart(judgement), volume_chart(judgement), confidence_chart(judgement)] if judgement.cases else []
    return render_page(
        "judgement_template.html",
        room="evaluation/judgement",
        own_style="judgement_style.html",
        one=judgement,
        labels=labels,
        kinds=_KINDS,
        grouped=_grouped(judgement.groups),
        findings=_FINDINGS,
        drawn=[_drawn(row, found) for row in judgement.cases if (found := views.get((row.case, row.hospital)))],
        charts=charts,
        forest=difference_chart(comparison, labels) if comparison else None,
        verdict=_verdict(comparison, labels) if comparison else "",
        choices=CHOICES,
        address=_address,
        farthest=_farthest,
        volume_error=_volume_error,
        notable=NOTABLE,
        text=number_text,
        width=_WIDTH,
        colours=(TRUTH_COLOUR, PREDICTION_COLOUR),
    )


def _grouped(rows: Sequence[GroupRow]) -> dict[tuple[str, str], list[GroupRow]]:
    """Returns the rows by kind and subgroup, in the order of the page."""
    order = {kind: place for place, kind in enumerate(_KINDS)}
    found: dict[tuple[str, str], list[GroupRow]] = {}
    for row in sorted(rows, key=lambda row: order[row.kind]):
        found.setdefault((row.kind, row.name), []).append(row)
    return found


def _drawn(row: CaseRow, found: CaseViews) -> DrawnCase:
    places = place_views(found.views, _WIDTH, _HEIGHT)
    views = tuple(
        DrawnView(
            place=place,
            truth=tuple(_path(rings, place) for rings in place.view.outlines if rings),
            model=tuple(_path(rings, place) for rings in model if rings),
        )
        for place, model in zip(places, found.model, strict=True)
    )
    return DrawnCase(row, views, row_height(places), found.window)


def _path(rings: tuple[Ring, ...], place: Place) -> str:
    """Returns rings in the picture's units: paper knows no strokes that keep their width when they are scaled."""
    across, down = place.width / place.view.columns, place.height / place.view.rows
    lines = (" ".join(f"{place.left + x * across:.1f},{place.top + y * down:.1f}" for x, y in ring) for ring in rings)
    return "".join(f"M{line}Z" for line in lines)


def _address(chart: Chart) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(chart.svg).decode("ascii")


def _farthest(row: CaseRow) -> float | None:
    return max((score.hd95_mm for score in row.scores.values() if score.hd95_mm is not None), default=None)


def _volume_error(row: CaseRow) -> float:
    return max(abs(score.predicted_ml - score.truth_ml) for score in row.scores.values())


def _verdict(comparison: Comparison, labels: Mapping[str, str]) -> str:
    if comparison.margin is None:
        return (
            "No margin was stated before the result, so that nothing is said of non-inferiority: whoever chooses it "
            "now knows what comes out."
        )
    what = _METRICS[comparison.metric]
    if comparison.non_inferior and all(test.whole.verdict == "better" for test in comparison.tests):
        return f"Better for every structure, and so non-inferior at the margin of {comparison.margin:g} {what}."
    if comparison.non_inferior:
        return f"Non-inferior: for every structure the loss of {what} is below the margin of {comparison.margin:g}."
    failed = [labels[test.whole.structure] for test in comparison.tests if not test.non_inferior]
    return (
        f"Non-inferiority was not shown for {', '.join(failed)}: a loss of {what} of {comparison.margin:g} or more "
        "cannot be excluded."
    )
