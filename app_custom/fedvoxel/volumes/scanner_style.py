"""How the simulated hospitals' scanners differ: grid, orientation, contrast, bias field, noise and scale."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ScannerStyle:
    """Describes one simulated scanner.

    Attributes:
        spacing_mm: Voxel size along right, anterior and superior.
        orientation: How the voxels are stored.
        tilt_degrees: Rotation of the grid about the left-right axis.
        gamma: Exponent of the contrast; above 1 darkens grey matter against white.
        bias: Strength of the bias field, as log intensity over the field of view.
        noise: Rician noise, as a share of the brightest tissue.
        scale: Intensity of the brightest tissue, in the file's unit.
    """

    spacing_mm: tuple[float, float, float]
    orientation: str
    tilt_degrees: float
    gamma: float
    bias: float
    noise: float
    scale: float


STYLES = (
    ScannerStyle((4.5, 4.5, 4.5), "RAS", 0.0, 1.0, 0.15, 0.03, 255.0),
    ScannerStyle((4.2, 4.2, 5.0), "LAS", 0.0, 1.5, 0.35, 0.05, 3000.0),
    ScannerStyle((5.0, 4.3, 4.3), "PIR", 8.0, 0.8, 0.25, 0.07, 900.0),
    ScannerStyle((4.8, 4.8, 4.0), "LPS", -5.0, 1.9, 0.5, 0.04, 120000.0),
)


def scan(t1: NDArray[np.float32], style: ScannerStyle, random: np.random.Generator) -> NDArray[np.float32]:
    """Returns what the scanner shows of a head.

    Args:
        t1: (X, Y, Z), 0 to 1.
        style: The scanner.
        random: The source of the bias field, the noise and the gain.

    Returns:
        float32 (X, Y, Z), not negative, as magnitude images are (Rician noise).
    """
    signal = np.clip(t1, 0.0, 1.0).astype(np.float64) ** (style.gamma * random.uniform(0.9, 1.1))
    signal *= np.exp(style.bias * _smooth_field(t1.shape, random))
    real, imaginary = (style.noise * random.standard_normal(t1.shape) for _ in range(2))
    magnitude = np.hypot(signal + real, imaginary)
    return (magnitude * style.scale * random.lognormal(0.0, 0.1)).astype(np.float32)


def _smooth_field(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float64]:
    """Returns a quadratic in the three coordinates, scaled to [-1, 1]."""
    x, y, z = np.meshgrid(*(np.linspace(-1.0, 1.0, size) for size in shape), indexing="ij")
    terms = (x, y, z, x * x, y * y, z * z, x * y, y * z, z * x)
    weights = random.standard_normal(len(terms))
    field = np.sum([weight * term for weight, term in zip(weights, terms, strict=True)], axis=0)
    return np.asarray(field / np.abs(field).max(), dtype=np.float64)
