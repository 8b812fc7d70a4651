"""Made-up patients with two bright blobs, and a model that tells structures by brightness: quick, and never sure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.uncertainty.hospital_sums import HospitalCases
from fedvoxel.federation.calibration.answers import FirstAnswer, SecondAnswer
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.federation.calibration.fitting import make_calibration, make_plan
from fedvoxel.federation.calibration.plan import ViewPlan
from fedvoxel.volumes.plan import IntensityPlan, PreparedCase, scale_intensity

STRUCTURES = ("anterior", "posterior")
SHAPE = (20, 24, 18)
SCALE = IntensityPlan()
VIEWS = ViewPlan(shift_voxels=1, intensity_scale=0.1)
CENTRES = (0.0, 2.2, 4.4)


class BrightModel:
    """Says how likely each class is from the smoothed brightness alone."""

    def __init__(self, sharpness: float = 2.0) -> None:
        self.sharpness, self.asked = sharpness, 0

    def probabilities(self, image: NDArray[np.float32], progress: Any = None) -> NDArray[np.float32]:
        from scipy import ndimage

        self.asked += 1
        smooth = ndimage.gaussian_filter(image[0], 0.7, mode="nearest")
        logits = np.stack([-self.sharpness * (smooth - centre) ** 2 for centre in CENTRES])
        chance = np.exp(logits - logits.max(axis=0))
        return np.asarray(chance / chance.sum(axis=0), np.float32)


def patient(seed: int, noise: float = 0.25) -> PreparedCase:
    """A case of its own patient: two ellipsoids of varying size on noise."""
    random = np.random.default_rng(seed)
    label = np.zeros(SHAPE, np.uint8)
    axes = np.meshgrid(*(np.arange(size) for size in SHAPE), indexing="ij")
    for code, middle in ((1, 0.3), (2, 0.7)):
        centre = [size * share for size, share in zip(SHAPE, (0.5, middle, 0.5), strict=True)]
        radii = random.uniform(3.0, 4.5, 3)
        parts = (((axis - at) / radius) ** 2 for axis, at, radius in zip(axes, centre, radii, strict=True))
        label[sum(parts) < 1] = code
    image = np.array([0.0, 2.0, 4.0])[label] + random.normal(0, noise, SHAPE)
    scaled = scale_intensity(image.astype(np.float32), SCALE)[np.newaxis]
    return PreparedCase(f"case{seed:03d}", scaled, label, (1.0, 1.0, 1.0), np.eye(4), f"patient{seed:03d}")


def hospital(first: int, training: int = 14, validation: int = 8, model: BrightModel | None = None) -> HospitalCases:
    """A hospital with patients of its own."""
    cases = [patient(first + place) for place in range(training + validation)]
    return HospitalCases(model or BrightModel(), STRUCTURES, cases[:training], cases[training:], SCALE)


def calibration(hospitals: int = 2) -> Calibration:
    """What some hospitals' sums make."""
    asked = [hospital(100 * place) for place in range(hospitals)]
    first = [one.first() for one in asked]
    told = [answer for answer in first if isinstance(answer, FirstAnswer)]
    plan = make_plan(told, VIEWS)
    second = [answer for one in asked if isinstance(answer := one.second(plan), SecondAnswer)]
    return make_calibration(plan, told, second)
