"""Draws what a radiologist looks at: slices of a scan with the outlines of the truth and of the prediction.

Pictures are made at the site, from cases that are named by pseudonym, and returned as PNG bytes; nothing here writes
or sends them. Slices stand as radiologists read them: the patient's right on the left, anterior and superior on top.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.cutting import VIEWS, box_around, largest_cut, slice_in
from fedvoxel.evaluation.figures import PREDICTION_COLOUR, TRUTH_COLOUR, Picture, new_figure, picture_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARGIN_MM = 15.0
"""Surroundings shown around the structures."""


@dataclass(frozen=True)
class OverlayCase:
    """Holds what one row of an overlay picture shows.

    Attributes:
        case: The case's pseudonym.
        site: The hospital.
        image: Voxels (X, Y, Z) in RAS order: X grows to the right, Y to the front, Z upwards.
        truth: Labels (X, Y, Z), 0 background.
        prediction: Labels (X, Y, Z), 0 background.
        spacing_mm: Voxel edge lengths (X, Y, Z) in mm.
        dice: Dice by class name, for the title.
    """

    case: str
    site: str
    image: NDArray[np.float32]
    truth: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    dice: Mapping[str, float | None]


def overlay_picture(cases: Sequence[OverlayCase]) -> Picture:
    """Draws one row per case: axial, coronal and sagittal slice through the largest cut of the structures.

    Raises:
        ValueError: There is no case, or image, truth and prediction of a case differ in shape.
    """
    if not cases:
        raise ValueError("an overlay picture needs at least one case")
    for case in cases:
        if not case.image.shape == case.truth.shape == case.prediction.shape or case.image.ndim != 3:
            raise ValueError(f"{case.case}: image, truth and prediction are not of one (X, Y, Z) shape")
    figure = new_figure(9.0, 0.5 + 3.3 * len(cases))
    rows = figure.subfigures(len(cases), 1, squeeze=False)[:, 0]
    for row, case in zip(rows, cases, strict=True):
        _draw_case(row, case)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=2, frameon=False)
    names = ", ".join(case.case for case in cases)
    return picture_of(
        figure,
        "Unseen cases with outlines",
        f"Slices of {names} with the outline of the truth (blue) and of the federated model (orange).",
        shows_scan=True,
    )


def _draw_case(row: Any, case: OverlayCase) -> None:
    scores = ", ".join(f"{name} {'absent' if value is None else f'{value:.2f}'}" for name, value in case.dice.items())
    row.suptitle(f"{case.site} · {case.case} · Dice {scores}", fontsize=11)
    window = tuple(np.percentile(case.image, [1.0, 99.0]))
    box = box_around((case.truth > 0) | (case.prediction > 0), case.spacing_mm, MARGIN_MM)
    for axes, (axis, name, across, along) in zip(row.subplots(1, 3), VIEWS, strict=True):
        cut = slice_in(box, axis, largest_cut(_structures(case), axis))
        spacing = [case.spacing_mm[which] for which in range(3) if which != axis]
        cut_width, cut_height = case.image[cut].shape
        axes.imshow(
            case.image[cut].T,
            cmap="gray",
            vmin=window[0],
            vmax=window[1],
            origin="lower",
            aspect=spacing[1] / spacing[0],
        )
        _outline(axes, case.truth[cut], TRUTH_COLOUR, 2.2, "solid")
        _outline(axes, case.prediction[cut], PREDICTION_COLOUR, 1.6, "dashed")
        axes.set(xlim=(cut_width - 0.5, -0.5), ylim=(-0.5, cut_height - 0.5))
        _mark_sides(axes, name, across, along)


def _outline(axes: "Axes", label: NDArray[np.uint8], colour: str, width: float, style: str) -> None:
    # Padded, so that a structure that touches the edge of the view is closed there.
    padded = np.pad(label, 1)
    across, along = (np.arange(-1, size + 1) for size in label.shape)
    for code in np.unique(label[label > 0]):
        axes.contour(
            across, along, (padded == code).T.astype(float), [0.5], colors=[colour], linewidths=width, linestyles=style
        )


def _mark_sides(axes: "Axes", name: str, across: str, along: str) -> None:
    from matplotlib.patheffects import withStroke

    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(name, fontsize=9)
    outline = withStroke(linewidth=2, foreground="black")
    places = ((0.05, 0.5, across[0]), (0.95, 0.5, across[1]), (0.5, 0.95, along[0]), (0.5, 0.05, along[1]))
    for x, y, side in places:
        axes.text(x, y, side, transform=axes.transAxes, color="white", ha="center", va="center", path_effects=[outline])


def _structures(case: OverlayCase) -> NDArray[np.bool_]:
    if case.truth.any():
        return np.asarray(case.truth > 0)
    return np.asarray(case.prediction > 0)


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=TRUTH_COLOUR, linewidth=2.2, label="truth"),
        Line2D([], [], color=PREDICTION_COLOUR, linewidth=1.6, linestyle="dashed", label="federated model"),
    ]
