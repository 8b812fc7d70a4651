"""Draws single slices as PNG for a browser: the grey picture, and the heat map of the model's uncertainty.

One pixel is one voxel; the browser stretches them to their true proportions.
"""

import io

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.reading.windows import WindowPreset

HEAT = (
    (0.0, (100, 24, 130, 0)),
    (0.1, (100, 24, 130, 0)),
    (0.25, (140, 30, 130, 130)),
    (0.45, (225, 60, 80, 200)),
    (1.0, (255, 230, 90, 255)),
)
"""Uncertainty from 0 to 1, and its colour (red, green, blue, opacity): certain places stay clear."""

_FAST = 1


def grey_png(cut: NDArray[np.float32], window: WindowPreset) -> bytes:
    """Returns a slice (rows, columns) as an 8-bit grey PNG."""
    share = (cut - np.float32(window.low)) * np.float32(255.0 / (window.high - window.low))
    return _png(np.clip(np.rint(share), 0, 255).astype(np.uint8))


def heat_png(cut: NDArray[np.float32]) -> bytes:
    """Returns a slice (rows, columns) of uncertainties in [0, 1] as an RGBA PNG."""
    levels = np.clip(np.rint(cut * np.float32(255.0)), 0, 255).astype(np.uint8)
    return _png(_heat_colours()[levels])


def _heat_colours() -> NDArray[np.uint8]:
    places = [place for place, _ in HEAT]
    steps = np.linspace(0.0, 1.0, 256)
    channels = [np.interp(steps, places, [colour[channel] for _, colour in HEAT]) for channel in range(4)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="PNG", compress_level=_FAST)
    return stream.getvalue()
