"""Spoils prepared images on purpose, so that an estimate of quality has seen bad results and not only good ones.

Each kind imitates something that happens to scans. Half of them (`FITTED`) are for fitting; the others are kept for the
test, so that it can be told whether the estimate knows a bad result or only the spoilings that it was fitted on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedvoxel.volumes.plan import IntensityPlan, PreparedCase, scale_intensity

Image = NDArray[np.float64]
Spoil = Callable[[Image, float, np.random.Generator], Image]


def _noise(image: Image, severity: float, random: np.random.Generator) -> Image:
    """Adds Rician noise of up to 1.5 of the image's deviations."""
    spread = 1.5 * severity
    floor = image.min()
    parts = (image - floor + random.normal(0, spread, image.shape), random.normal(0, spread, image.shape))
    return np.asarray(np.hypot(*parts) + floor)


def _blur(image: Image, severity: float, random: np.random.Generator) -> Image:
    """Smooths by up to 3 voxels, as a moving patient does."""
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(image, 3.0 * severity))


def _bias(image: Image, severity: float, random: np.random.Generator) -> Image:
    """Multiplies by a smooth field, as a surface coil does."""
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in image.shape), indexing="ij")
    field = sum(weight * axis for weight, axis in zip(random.normal(0, 1.2, 3), axes, strict=True))
    floor = image.min()
    return np.asarray((image - floor) * np.exp(severity * np.asarray(field)) + floor)


def _gamma(image: Image, severity: float, random: np.random.Generator) -> Image:
    """Bends the scale of intensities, either way."""
    low, high = image.min(), image.max()
    power = float(np.exp(1.6 * severity * random.choice((-1.0, 1.0))))
    return np.asarray(((image - low) / max(high - low, 1e-6)) ** power * (high - low) + low)


def _missing_slices(image: Image, severity: float, random: np.random.Generator) -> Image:
    """Fills all but every n-th slice with its neighbour, as a reader does that repairs a series."""
    step = 2 + round(6 * severity)
    kept = np.arange(image.shape[2]) // step * step
    return image[:, :, kept]


def _ghosting(image: Image, severity: float, random: np.random.Generator) -> Image:
    """Adds copies that are shifted along one axis, as breathing and flow do in MR."""
    axis, strength = int(random.integers(3)), 1.2 * severity
    return np.asarray(image + strength * np.roll(image, image.shape[axis] // 3, axis=axis))


def _spikes(image: Image, severity: float, random: np.random.Generator) -> Image:
    """Adds waves through the whole image, as a spark in the scanner's room does."""
    waves = np.zeros_like(image)
    axes = np.meshgrid(*(np.arange(size) for size in image.shape), indexing="ij")
    for _ in range(3):
        turns = random.uniform(-0.8, 0.8, 3)
        waves += np.cos(sum(turn * axis for turn, axis in zip(turns, axes, strict=True)) + random.uniform(0, 6.28))
    return image + severity * waves


def _inversion(image: Image, severity: float, random: np.random.Generator) -> Image:
    """Mixes in the negative, up to whole: another weighting of the same anatomy."""
    return np.asarray((1 - 2 * severity) * image)


def _hole(image: Image, severity: float, random: np.random.Generator) -> Image:
    """Blackens a box of up to 60 % of each side, as metal does."""
    spoilt = image.copy()
    sides = [max(2, round(size * (0.15 + 0.45 * severity))) for size in image.shape]
    corner = [int(random.integers(0, size - side + 1)) for size, side in zip(image.shape, sides, strict=True)]
    spoilt[tuple(slice(start, start + side) for start, side in zip(corner, sides, strict=True))] = image.min()
    return spoilt


def _motion(image: Image, severity: float, random: np.random.Generator) -> Image:
    """Takes up to 45 % of the image's frequencies from a shifted copy: the patient moved once while it was taken."""
    shift = [int(step) for step in random.integers(2, 3 + round(5 * severity), 3)]
    moved = np.roll(image, shift, axis=(0, 1, 2))
    axis = int(random.integers(3))
    there, here = np.fft.fftshift(np.fft.fftn(moved)), np.fft.fftshift(np.fft.fftn(image))
    place = np.moveaxis(here, axis, 0)
    taken = round(place.shape[0] * (1 - 0.45 * severity))  # beyond the middle, so that the label stays where it is
    place[taken:] = np.moveaxis(there, axis, 0)[taken:]
    return np.asarray(np.abs(np.fft.ifftn(np.fft.ifftshift(here)) - image.min()) + image.min())


FITTED: Mapping[str, Spoil] = {
    "noise": _noise,
    "blur": _blur,
    "bias_field": _bias,
    "gamma": _gamma,
    "missing_slices": _missing_slices,
}
"""What an estimate is fitted on."""

UNSEEN: Mapping[str, Spoil] = {
    "ghosting": _ghosting,
    "spikes": _spikes,
    "inversion": _inversion,
    "hole": _hole,
    "motion": _motion,
}
"""What it is tested on besides; so is `crop`."""

CROP = "crop"


@dataclass(frozen=True)
class Spoiling:
    """Is one way to spoil an image.

    Attributes:
        kind: A name of `FITTED`, `UNSEEN`, or `CROP`.
        severity: Above 0 (hardly) to 1 (badly).
    """

    kind: str
    severity: float

    def of(self, case: PreparedCase, scale: IntensityPlan, random: np.random.Generator) -> PreparedCase:
        """Returns a spoilt case, scaled again as the model's plan says; cropped, its label is cropped too.

        Raises:
            GeometryError: constant_image; nothing of the image is left.
        """
        if self.kind == CROP:
            return _cropped(case, self.severity, random)
        spoilt = {**FITTED, **UNSEEN}[self.kind](case.image[0].astype(np.float64), self.severity, random)
        return replace(case, image=scale_intensity(spoilt.astype(np.float32), scale)[np.newaxis])


def draw_spoiling(kinds: Mapping[str, Spoil], random: np.random.Generator) -> Spoiling:
    """Draws one of some kinds, and how badly."""
    return Spoiling(str(random.choice(sorted(kinds))), float(random.uniform(0.1, 1.0)))


def _cropped(case: PreparedCase, severity: float, random: np.random.Generator) -> PreparedCase:
    """Cuts up to 45 % off one end of one axis."""
    axis, at_start = int(random.integers(3)), bool(random.integers(2))
    size = case.label.shape[axis]
    cut = round(size * 0.45 * severity)
    kept = np.arange(cut, size) if at_start else np.arange(size - cut)
    return replace(case, image=np.take(case.image, kept, axis=axis + 1), label=np.take(case.label, kept, axis=axis))
