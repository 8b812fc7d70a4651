"""Renders a datasheet as one HTML file that needs nothing else; it shows what the datasheet's JSON holds, no more."""

import math
from dataclasses import dataclass

from fedvoxel.evaluation.cohorts.answers import QUESTIONS
from fedvoxel.evaluation.cohorts.closed_page import render_page
from fedvoxel.evaluation.cohorts.datasheet import Datasheet
from fedvoxel.evaluation.cohorts.number_words import number_words
from fedvoxel.evaluation.cohorts.spreads import IntensityBin, Spread
from fedvoxel.volumes.refusal import REMEDIES

_SUBJECTS = {
    "voxel size": "Voxel size (mm)",
    "voxels": "Number of voxels",
    "volume": "Volume where marked (mL)",
    "intensity": "Intensity",
}
_WIDTH, _HEIGHT, _TOP = 720.0, 126.0, 6.0
_LOGARITHMIC_FROM = 50.0
_LEAST_SHOWN = 0.002  # of the highest bar; lower ones at the ends cannot be seen


@dataclass(frozen=True)
class Strip:
    """Holds a spread and where its quantiles lie on a scale from 0 to 100."""

    spread: Spread
    at: tuple[float, ...]


@dataclass(frozen=True)
class Bar:
    """Is a bin of the histogram as it is drawn; the label is that of its lower end."""

    left: float
    width: float
    top: float
    label: str


def render_datasheet(sheet: Datasheet) -> str:
    """Renders the datasheet as HTML."""
    made = sheet.composition
    return render_page(
        "datasheet_template.html",
        sheet=sheet,
        minimum=sheet.minimum_patients,
        strips=_strips(made.spreads) if made else [],
        bins=_bars(made.intensities) if made else [],
        subjects=_SUBJECTS,
        questions=QUESTIONS,
        remedies=REMEDIES,
        number=number_words,
        percent=lambda share: f"{100 * share:.3g} %",
    )


def _strips(spreads: tuple[Spread, ...]) -> list[Strip]:
    strips = []
    for spread in spreads:
        alike = [value for other in spreads if other.subject == spread.subject for value in other.quantiles.values()]
        strips.append(
            Strip(spread, tuple(_place(value, min(alike), max(alike)) for value in spread.quantiles.values()))
        )
    return strips


def _place(value: float, low: float, high: float) -> float:
    if not low < high:
        return 50.0
    if low > 0 and high / low > _LOGARITHMIC_FROM:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return round(100.0 * (value - low) / (high - low), 1)


def _bars(bins: tuple[IntensityBin, ...]) -> list[Bar]:
    highest = max((each.share for each in bins), default=0.0)
    seen = [place for place, each in enumerate(bins) if each.share > _LEAST_SHOWN * highest]
    if not seen:
        return []
    bins = bins[seen[0] : seen[-1] + 1]
    width = _WIDTH / len(bins)
    return [
        Bar(
            left=place * width,
            width=max(width - 1.0, 0.5),
            top=_HEIGHT - (_HEIGHT - _TOP) * each.share / highest,
            label=number_words(each.low) if place and _is_power_of_ten(each.low) else "",
        )
        for place, each in enumerate(bins)
    ]


def _is_power_of_ten(value: float) -> bool:
    return value != 0 and abs(math.log10(abs(value)) - round(math.log10(abs(value)))) < 1e-3
