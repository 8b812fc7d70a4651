"""Which parts of an image a result rests on: blocks are blurred away one by one, and what is found is looked at again.

It needs nothing but the model's answers, so that it works where a clinician sits. It says what this result depends on,
block by block, and not why; a structure whose own blocks matter least was not found for good reasons.

Source: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4.2.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.uncertainty.examination import Model, Progress
from fedvoxel.evaluation.uncertainty.probability import Voxels, labels_of

Box = tuple[slice, slice, slice]

_MARGIN = 16
_BLUR = 4.0
_MOST_SIDE = 32


@dataclass(frozen=True)
class Effort:
    """Is how much may be spent on one structure.

    Attributes:
        limit_s: About how many seconds: blocks are made as small as there is time for.
        least_side: Voxels of the smallest blocks along each axis.
    """

    limit_s: float = 30.0
    least_side: int = 4


@dataclass(frozen=True, eq=False)
class Explanation:
    """Is what one structure's result rests on.

    Attributes:
        heat: float32 (X, Y, Z) on the prepared grid: how much probability the structure's voxels lose on average if the
            block around a voxel is blurred away; negative where they gain.
        side: Voxels of a block along each axis.
        done: Share of the blocks that there was time for, the nearest to the structure first; others are 0.
    """

    heat: Voxels
    side: int
    done: float


def explain(
    image: Voxels,
    probabilities: Voxels,
    code: int,
    model: Model,
    effort: Effort,
    progress: Progress | None = None,
) -> Explanation | None:
    """Explains where one structure was found.

    Args:
        image: float32 (1, X, Y, Z), prepared.
        probabilities: What the model found on it, (classes, X, Y, Z).
        code: The structure's, 1 or more.
        model: Is asked about each changed image.
        effort: How long it may take.
        progress: Is told (blocks done, blocks).

    Returns:
        The explanation; None where the structure was not found.
    """
    mask = labels_of(probabilities) == code
    if not mask.any():
        return None
    region = _around(mask)
    part, inside = image[(slice(None), *region)], mask[region]
    started = time.monotonic()
    whole = _mean_chance(model, part, code, inside)
    pass_s = max(time.monotonic() - started, 1e-6)
    side = _side(inside.shape, int(effort.limit_s / pass_s), effort.least_side)
    boxes = sorted(_boxes(inside.shape, side), key=lambda box: _distance(box, inside))
    heat, done = np.zeros(mask.shape, np.float32), 0
    for box, changed in _changed(part, boxes):
        if done and time.monotonic() - started > effort.limit_s:
            break
        heat[region][box] = whole - _mean_chance(model, changed, code, inside)
        done += 1
        if progress is not None:
            progress(done, len(boxes))
    return Explanation(heat, side, done / len(boxes))


def mass_near(heat: Voxels, mask: NDArray[np.bool_], spacing_mm: Sequence[float], within_mm: float) -> float | None:
    """Returns which share of the positive heat lies in a structure or at most so far from it; None where there is none.

    Args:
        heat: (X, Y, Z).
        mask: The structure, (X, Y, Z).
        spacing_mm: Voxel size.
        within_mm: How far.
    """
    from scipy import ndimage

    positive = np.maximum(heat, 0)
    total = float(positive.sum())
    if total <= 0:
        return None
    distance_mm = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    return float(positive[distance_mm <= within_mm].sum()) / total


def _mean_chance(model: Model, image: Voxels, code: int, mask: NDArray[np.bool_]) -> float:
    return float(model.probabilities(image)[code][mask].mean())


def _around(mask: NDArray[np.bool_]) -> Box:
    """Returns the box of a structure with a margin: what is farther away is not looked at."""
    boxes = []
    for axis, size in enumerate(mask.shape):
        places = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        boxes.append(slice(max(0, int(places[0]) - _MARGIN), min(size, int(places[-1]) + 1 + _MARGIN)))
    x, y, z = boxes
    return x, y, z


def _changed(image: Voxels, boxes: Sequence[Box]) -> Iterator[tuple[Box, Voxels]]:
    """Yields each block with the image without its detail there: a blurred block adds no edge of its own."""
    from scipy import ndimage

    blurred = np.asarray(ndimage.gaussian_filter(image, (0, _BLUR, _BLUR, _BLUR), mode="nearest"), np.float32)
    for box in boxes:
        changed = image.copy()
        changed[(slice(None), *box)] = blurred[(slice(None), *box)]
        yield box, changed


def _side(shape: Sequence[int], most: int, least: int) -> int:
    """Returns the smallest side of blocks of which there are at most so many."""
    for side in range(least, _MOST_SIDE):
        if math.prod(math.ceil(size / side) for size in shape) <= most:
            return side
    return _MOST_SIDE


def _boxes(shape: Sequence[int], side: int) -> Iterator[Box]:
    for x, y, z in product(*(range(0, size, side) for size in shape)):
        yield slice(x, x + side), slice(y, y + side), slice(z, z + side)


def _distance(box: Box, mask: NDArray[np.bool_]) -> float:
    """Returns how far a block's middle is from the structure's, in voxels."""
    middle = [float(np.mean(axis)) for axis in np.nonzero(mask)]
    ends = [(one.start + min(one.stop, size)) / 2 for one, size in zip(box, mask.shape, strict=True)]
    return math.dist(middle, ends)
