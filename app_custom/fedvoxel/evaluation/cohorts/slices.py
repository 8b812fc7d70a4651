"""Cuts a scan into the three views that radiologists read, with the outline of each class.

Where the structures fill little of the scan the views are close-ups, and a small view of the whole slice shows where
they are. Pixels are stored as they are in the scan (never resampled to another shape, only thinned where a slice is
very large); their size in millimetres goes with them, so that whoever shows them keeps the proportions.
"""

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.cohorts.outlines import Ring, outline_of
from fedvoxel.evaluation.cohorts.window import Window
from fedvoxel.evaluation.cutting import VIEWS, Box, box_around, largest_cut, slice_in

MARGIN_MM = 20.0
"""Surroundings shown around the structures."""

MOST_PIXELS = 360
"""A slice's longer side is thinned to this many pixels."""

_OVERVIEW_PIXELS = 140
_FILLS = 0.6
_QUALITY = 82
_LOSSLESS_PIXELS = 10_000  # few pixels are shown large, where traces of compression would be seen


class View(FrozenModel):
    """Is one slice as it is shown.

    Attributes:
        name: "axial", "coronal", "sagittal" or "whole axial slice".
        index: Which slice, counted from 1 from the patient's left, back or feet.
        slices: Of how many.
        sides: The patient's sides at the left, right, top and bottom edge, such as "RLAP".
        webp: The grey picture, WebP in base64; its number of pixels may be smaller than `columns` x `rows`.
        columns: Voxels across.
        rows: Voxels down.
        width_mm: Size across.
        height_mm: Size down.
        outlines: For each class in order, rings of points (x, y) in voxels from the top left corner.
        frame: The close-up's left, top, right and bottom in an overview, in voxels.
    """

    name: str
    index: int
    slices: int
    sides: str
    webp: str
    columns: int
    rows: int
    width_mm: float
    height_mm: float
    outlines: tuple[tuple[Ring, ...], ...]
    frame: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, eq=False)
class Scan:
    """Holds what is cut: arrays in RAS order.

    Attributes:
        voxels: float32 (X, Y, Z).
        label: uint8 (X, Y, Z), 0 background, 1 + i class i.
        spacing_mm: Voxel edge lengths.
        classes: Number of classes.
    """

    voxels: NDArray[np.float32]
    label: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    classes: int


def shown_box(scan: Scan) -> Box:
    """Returns the part that is shown: all of it if the structures with their margin fill most of it."""
    box = box_around(scan.label > 0, scan.spacing_mm, MARGIN_MM)
    whole = tuple((0, size) for size in scan.label.shape)
    fills = all(high - low >= _FILLS * size for (low, high), size in zip(box, scan.label.shape, strict=True))
    return whole if fills else box


def views_of(scan: Scan, box: Box, window: Window) -> tuple[View, ...]:
    """Returns axial, coronal and sagittal view within `box`, then the whole axial slice if `box` is a close-up."""
    inside = scan.label > 0
    cuts = [(axis, largest_cut(inside, axis), name, across + along) for axis, name, across, along in VIEWS]
    views = [view_of(scan, box, cut, window) for cut in cuts]
    whole = tuple((0, size) for size in scan.label.shape)
    if box != whole:
        axis, index, _, sides = cuts[0]
        overview = view_of(scan, whole, (axis, index, "whole axial slice", sides), window, _OVERVIEW_PIXELS)
        views.append(overview.model_copy(update={"frame": _frame(box, scan.label.shape)}))
    return tuple(views)


def as_shown(cut: NDArray[np.generic]) -> NDArray[np.generic]:
    """Turns a slice [across, along] of RAS voxels into rows and columns: right or front on the left, top on top."""
    return cut[::-1, ::-1].T


def view_of(scan: Scan, box: Box, cut: tuple[int, int, str, str], window: Window, most: int = MOST_PIXELS) -> View:
    """Returns one slice within `box`.

    Args:
        scan: What is cut.
        box: The part that is shown.
        cut: The axis that is cut, the slice's index along it, the view's name and its sides.
        window: Which intensities are black and white.
        most: The longer side is thinned to this many pixels.
    """
    axis, index, name, sides = cut
    place = slice_in(box, axis, index)
    grey = as_shown(_grey(scan.voxels[place], window))
    label = as_shown(scan.label[place])
    across_mm, along_mm = (scan.spacing_mm[which] for which in range(3) if which != axis)
    rows, columns = grey.shape
    return View(
        name=name,
        index=index + 1,
        slices=scan.label.shape[axis],
        sides=sides,
        webp=_webp(grey, most),
        columns=columns,
        rows=rows,
        width_mm=columns * across_mm,
        height_mm=rows * along_mm,
        outlines=tuple(outline_of(label == 1 + which) for which in range(scan.classes)),
    )


def _grey(cut: NDArray[np.float32], window: Window) -> NDArray[np.uint8]:
    share = (cut.astype(np.float64) - window.low) / (window.high - window.low)
    return np.asarray(np.clip(np.rint(share * 255.0), 0.0, 255.0), dtype=np.uint8)


def _webp(grey: NDArray[np.generic], most: int) -> str:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(grey))
    # Never enlarged here: what shows it does that, with the voxel's true proportions.
    size = min(picture.width, most), min(picture.height, most)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.BOX)
    stream = io.BytesIO()
    small = size[0] * size[1] <= _LOSSLESS_PIXELS
    picture.save(stream, format="WEBP", lossless=small, quality=_QUALITY, method=4)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _frame(box: Box, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    (x_low, x_high), (y_low, y_high) = box[0], box[1]
    return shape[0] - x_high, shape[1] - y_high, shape[0] - x_low, shape[1] - y_low
