"""What an image looks like in a few numbers, and what a model found on it: to tell it from those it was trained on.

The image is the prepared one, so that a scanner's intensity scale is gone. Nothing is learnt here: each number is
declared, and its spread over the training cases is what a new image is held against.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.uncertainty.probability import Voxels, labels_of

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BLOCKS = 3
_MOST_VOXELS = 2**22
_MOST_STRUCTURES = 6
_TINY = 1e-6
_LEAST_ML = 1e-3
_MM3_PER_ML = 1000.0

GROUPS = {
    "size": "size of image and voxels",
    "intensity": "distribution of intensities",
    "texture": "sharpness or noise",
    "layout": "where it is bright and dark",
    "found": "what the model found in it",
}
"""What the part before the first point of a feature's name means to a reader."""


def feature_names(structures: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the features of a model with these structures."""
    axes = ("x", "y", "z")
    names = [f"size.{what}_{axis}" for what in ("extent", "spacing") for axis in axes]
    names += [f"intensity.q{round(100 * quantile):02d}" for quantile in _QUANTILES]
    names += ["intensity.skewness", "intensity.kurtosis", "intensity.lowest", "intensity.highest"]
    names += [f"texture.{what}_{axis}" for what in ("slope", "noise") for axis in axes]
    names += [f"layout.{x}{y}{z}" for x, y, z in product(range(_BLOCKS), repeat=3)]
    for name in _groups(structures):
        names += [f"found.{name}.{what}" for what in ("volume", "sureness", "x", "y", "z")]
    return tuple(names)


def features_of(
    image: Voxels, spacing_mm: Sequence[float], probabilities: Voxels, structures: Sequence[str]
) -> NDArray[np.float64]:
    """Returns the features of an image, float64 in the order of `feature_names`.

    Args:
        image: float32 (1, X, Y, Z), prepared.
        spacing_mm: Its voxel size.
        probabilities: (classes, X, Y, Z) of the unchanged image, not tempered.
        structures: Names of the classes but the background.
    """
    extents = np.multiply(image.shape[1:], spacing_mm)
    numbers = [*np.log(extents), *np.log(spacing_mm), *_intensities(image[0]), *_texture(image[0]), *_layout(image[0])]
    voxel_ml = float(np.prod(spacing_mm)) / _MM3_PER_ML
    label = labels_of(probabilities)
    if len(_groups(structures)) == len(structures):
        for code, chance in enumerate(probabilities[1:], start=1):
            numbers += _found(label == code, chance, voxel_ml)
    else:
        numbers += _found(label > 0, 1 - probabilities[0], voxel_ml)
    return np.array(numbers, dtype=np.float64)


def _groups(structures: Sequence[str]) -> Sequence[str]:
    return structures if len(structures) <= _MOST_STRUCTURES else ("all",)


def _intensities(image: Voxels) -> list[float]:
    step = max(1, round((image.size / _MOST_VOXELS) ** (1 / 3)))
    values = image[::step, ::step, ::step].astype(np.float64).ravel()
    mean, deviation = values.mean(), max(values.std(), _TINY)
    scaled = (values - mean) / deviation
    fourth = float(np.mean(scaled**4))
    ends = [float(np.mean(values <= values.min() + 0.01 * deviation)), float(np.mean(values >= values.max() - _TINY))]
    return [*np.quantile(values, _QUANTILES), float(np.mean(scaled**3)), float(np.log(max(fourth, _TINY))), *ends]


def _texture(image: Voxels) -> list[float]:
    """Returns the logarithms of the mean slope along each axis, and of the mean second difference over it."""
    step = max(1, image.size // _MOST_VOXELS)
    slopes, noises = [], []
    for axis in range(3):
        # Every step-th plane across another axis is enough, and keeps neighbours along this one.
        planes = np.moveaxis(image, axis, -1)[::step]
        slope = float(np.abs(np.diff(planes, axis=-1)).mean()) if planes.shape[-1] > 1 else 0.0
        bend = float(np.abs(np.diff(planes, n=2, axis=-1)).mean()) if planes.shape[-1] > 2 else 0.0
        slopes.append(float(np.log(max(slope, _TINY))))
        noises.append(float(np.log(max(bend, _TINY) / max(slope, _TINY))))
    return [*slopes, *noises]


def _layout(image: Voxels) -> list[float]:
    ends = [np.linspace(0, size, _BLOCKS + 1).astype(int) for size in image.shape]
    blocks = product(*(zip(edges[:-1], np.maximum(edges[1:], edges[:-1] + 1), strict=True) for edges in ends))
    return [float(image[a:b, c:d, e:f].mean()) for (a, b), (c, d), (e, f) in blocks]


def _found(mask: NDArray[np.bool_], chance: Voxels, voxel_ml: float) -> list[float]:
    """Returns volume, sureness and place of what was found; where nothing was, nothing, unsure, in the middle."""
    count = int(np.count_nonzero(mask))
    volume = float(np.log(count * voxel_ml + _LEAST_ML))
    if not count:
        return [volume, 0.0, 0.5, 0.5, 0.5]
    places = [
        float(np.average(np.arange(size), weights=mask.sum(axis=tuple({0, 1, 2} - {axis}))) / max(size - 1, 1))
        for axis, size in enumerate(mask.shape)
    ]
    return [volume, float(chance[mask].mean()), *places]
