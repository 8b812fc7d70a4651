"""Renders a contact sheet as one HTML file that works offline: its pictures, style and small script are inside.

Everything that came from a scan, a sidecar or the site's file is escaped by the template engine.
"""

from dataclasses import dataclass

from fedvoxel.evaluation.cohorts.case_card import CaseCard
from fedvoxel.evaluation.cohorts.case_words import fact_words, shape_words, spacing_words, volume_words
from fedvoxel.evaluation.cohorts.closed_page import render_page
from fedvoxel.evaluation.cohorts.contact_sheet import ContactSheet
from fedvoxel.evaluation.cohorts.number_words import number_words
from fedvoxel.evaluation.cohorts.outlines import Ring
from fedvoxel.evaluation.cohorts.tile_layout import Place, curve_points, place_views, row_height, whole_level
from fedvoxel.evaluation.figures import CLASS_COLOURS

_WIDTH, _HEIGHT = 720.0, 330.0
_CURVES = (720.0, 74.0)


@dataclass(frozen=True)
class ShownCase:
    """Holds a card with what the template cannot compute."""

    card: CaseCard
    places: tuple[Place, ...]
    height: float
    whole: str
    curves: tuple[str, ...]
    cautions: tuple[str, ...]
    scans_of_patient: int


def render_sheet(sheet: ContactSheet) -> str:
    """Renders the sheet as HTML."""
    return render_page(
        "sheet_template.html",
        script="sheet_script.html",
        sheet=sheet,
        cases=[_shown(sheet, card) for card in sheet.cards],
        columns=_columns(sheet),
        colour=lambda place: place % len(CLASS_COLOURS),
        shape=shape_words,
        spacing=spacing_words,
        volume=volume_words,
        facts=fact_words,
        path=_path,
        number=number_words,
        width=_WIDTH,
        curves_size=_CURVES,
    )


def _shown(sheet: ContactSheet, card: CaseCard) -> ShownCase:
    places = place_views(card.views, _WIDTH, _HEIGHT)
    whole = curve_points(card.curves.whole, whole_level(card.curves.whole), _CURVES)
    inside = [curve_points(shares, max(shares), _CURVES) if any(shares) else [] for shares in card.curves.classes]
    width, height = _CURVES
    return ShownCase(
        card=card,
        places=places,
        height=row_height(places),
        whole=_points([(0.0, height), *whole, (width, height)]),
        curves=tuple(_points(points) for points in inside),
        cautions=sheet.cautions[card.case],
        scans_of_patient=sheet.scans_of_patient[card.patient],
    )


def _columns(sheet: ContactSheet) -> list[tuple[str, str, str]]:
    """Returns for each class its name, and its volume's median and range in mL over the cases that it marks."""
    columns = []
    for place, name in enumerate(sheet.classes):
        found = sorted(card.marks[place].millilitres for card in sheet.cards if card.marks[place].voxels)
        if found:
            middle = (found[(len(found) - 1) // 2] + found[len(found) // 2]) / 2.0
            columns.append((name, volume_words(middle), f"{volume_words(found[0])} to {volume_words(found[-1])}"))
        else:
            columns.append((name, "–", "–"))
    return columns


def _path(rings: tuple[Ring, ...]) -> str:
    return "".join("M" + " ".join(f"{x:g},{y:g}" for x, y in ring) + "Z" for ring in rings)


def _points(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.0f},{y:.1f}" for x, y in points)
