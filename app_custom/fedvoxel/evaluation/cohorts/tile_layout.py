"""Places a case's views side by side: one scale in millimetres for all that show the same part."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedvoxel.evaluation.cohorts.slices import View

GAP = 10.0
_OVERVIEW_SHARE = 4.5


@dataclass(frozen=True)
class Place:
    """Is where a view is drawn, in the picture's units from its top left corner."""

    view: View
    left: float
    top: float
    width: float
    height: float


def place_views(views: Sequence[View], width: float, height: float) -> tuple[Place, ...]:
    """Places views in a row that is `width` wide and at most `height` high, each in the middle of the row's height.

    An overview, which has a frame, is placed last at a scale of its own, less than a quarter of the width.
    """
    close = [view for view in views if view.frame is None]
    overviews = [view for view in views if view.frame is not None]
    wide = width - len(overviews) * (width / _OVERVIEW_SHARE + GAP)
    scale = min(
        (wide - GAP * (len(close) - 1)) / sum(view.width_mm for view in close),
        height / max(view.height_mm for view in close),
    )
    sized = [(view, scale) for view in close]
    sized += [(view, min(width / _OVERVIEW_SHARE / view.width_mm, height / view.height_mm)) for view in overviews]
    row = max(view.height_mm * by for view, by in sized)
    left = (width - sum(view.width_mm * by for view, by in sized) - GAP * (len(sized) - 1)) / 2.0
    places = []
    for view, by in sized:
        across, down = view.width_mm * by, view.height_mm * by
        places.append(Place(view, left, (row - down) / 2.0, across, down))
        left += across + GAP
    return tuple(places)


def row_height(places: Sequence[Place]) -> float:
    """Returns the height that the placed views need."""
    return max(place.top + place.height for place in places)


def curve_points(shares: Sequence[float], highest: float, size: tuple[float, float]) -> list[tuple[float, float]]:
    """Returns a histogram as points of a line in a picture of `size`; what is above `highest` is cut off there."""
    width, height = size
    step = width / len(shares)
    levels = [height - height * min(share / highest, 1.0) if highest > 0 else height for share in shares]
    return [(step * (place + 0.5), level) for place, level in enumerate(levels)]


def whole_level(shares: Sequence[float]) -> float:
    """Returns the share that is drawn highest: the second largest, since air alone often fills one bin."""
    return sorted(shares)[-2] or max(shares)
