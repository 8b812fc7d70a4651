"""Brings every site's volumes to the orientation, voxel size and intensity scale that a job fixes.

The plan travels in the job, so that all sites do the same; it holds no path and no site's name. World
coordinates are kept: whatever the plan does to the grid, the affine says where each voxel lies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.errors import CohortError
from fedvoxel.volumes.refusal import geometry_error
from fedvoxel.volumes.resampling import Grid, reorient, resample_image, resample_label, target_grid
from fedvoxel.volumes.volume import SPACING_RANGE_MM, Affine, LabelledVolume, Volume, spacing_of

_AXES = ({"L", "R"}, {"A", "P"}, {"I", "S"})
SpacingMm = Annotated[float, Field(ge=SPACING_RANGE_MM[0], le=SPACING_RANGE_MM[1])]


class IntensityPlan(FrozenModel):
    """Says how an image's intensities are scaled, per volume.

    Values are clipped to the two percentiles first. "zscore" subtracts the mean and divides by the standard
    deviation; "range" maps the percentiles to 0 and 1.
    """

    method: Literal["zscore", "range"] = "zscore"
    lower_percentile: float = Field(default=0.5, ge=0.0, le=100.0)
    upper_percentile: float = Field(default=99.5, ge=0.0, le=100.0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lower_percentile >= self.upper_percentile:
            raise ValueError("lower_percentile must be below upper_percentile")
        return self


class PreprocessingPlan(FrozenModel):
    """Says how volumes are prepared for a network.

    Attributes:
        orientation: Where each axis points, one of L/R, A/P and I/S each: "RAS".
        spacing_mm: Voxel size along those axes; null keeps each volume's own.
        intensity: How intensities are scaled.
    """

    orientation: str = "RAS"
    spacing_mm: tuple[SpacingMm, SpacingMm, SpacingMm] | None = None
    intensity: IntensityPlan = IntensityPlan()

    @field_validator("orientation")
    @classmethod
    def _is_orientation(cls, value: str) -> str:
        if len(value) != 3 or any(len(pair & set(value)) != 1 for pair in _AXES):
            raise ValueError("expected three letters, one each of L/R, A/P and I/S, such as RAS")
        return value


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """Is an image as a network takes it, and how it came from the original.

    Attributes:
        image: float32 (1, X, Y, Z), scaled as the plan says.
        affine: float64 (4, 4), voxel indices to RAS millimetres.
        orientation: Where the plan has the axes point.
        turned_shape: Voxels along the plan's axes before they were resampled.
        grid: How they were resampled; None where the voxel size stayed.
        original_shape: Voxels along the axes of the original volume.
        original_affine: float64 (4, 4), the original's voxel indices to RAS millimetres.
    """

    image: NDArray[np.float32]
    affine: Affine
    orientation: str
    turned_shape: tuple[int, ...]
    grid: Grid | None
    original_shape: tuple[int, int, int]
    original_affine: Affine


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """Is a case as a network takes it.

    Attributes:
        case: The case's pseudonym.
        image: float32 (1, X, Y, Z), scaled as the plan says.
        label: uint8 (X, Y, Z), 0 background, 1 + i the job's class i.
        spacing_mm: Voxel size along X, Y, Z.
        affine: float64 (4, 4), voxel indices to RAS millimetres.
        patient: The patient's pseudonym, the same for all scans of a patient; None where nobody said.
    """

    case: str
    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    affine: Affine
    patient: str | None = None


def prepare(case: LabelledVolume, plan: PreprocessingPlan) -> PreparedCase:
    """Reorients, resamples and scales one case as `plan` says.

    Raises:
        GeometryError: The resampled volume would be too large or flat (too_large, not_3d), or holds one value
            only after clipping (constant_image).
    """
    made = prepare_image(case.image, plan)
    label, _ = reorient(case.label, case.image.affine, plan.orientation)
    if made.grid is not None:
        label = resample_label(label, made.grid)
    return PreparedCase(case.case, made.image, np.ascontiguousarray(label), spacing_of(made.affine), made.affine)


def prepare_image(volume: Volume, plan: PreprocessingPlan) -> PreparedImage:
    """Reorients, resamples and scales an image as `plan` says, bit for bit as it was for training.

    Raises:
        GeometryError: As `prepare`.
    """
    voxels, affine = reorient(volume.voxels, volume.affine, plan.orientation)
    grid = None if plan.spacing_mm is None else target_grid(voxels.shape, affine, plan.spacing_mm)
    turned_shape = voxels.shape
    if grid is not None:
        voxels, affine = resample_image(voxels, grid), grid.affine
    image = np.ascontiguousarray(scale_intensity(voxels, plan.intensity)[np.newaxis])
    return PreparedImage(image, affine, plan.orientation, turned_shape, grid, volume.shape, volume.affine)


def by_patient(cases: Sequence[PreparedCase]) -> tuple[tuple[PreparedCase, ...], ...]:
    """Groups cases by patient, in the order of the patients' pseudonyms.

    Raises:
        CohortError: A case does not say whose it is: it cannot be told how much one patient contributes.
    """
    groups: dict[str, list[PreparedCase]] = {}
    for case in cases:
        if case.patient is None:
            raise CohortError(f"{case.case}: expected a patient, got none; cases must come from a site's cohort")
        groups.setdefault(case.patient, []).append(case)
    return tuple(tuple(groups[patient]) for patient in sorted(groups))


def scale_intensity(voxels: NDArray[np.float32], plan: IntensityPlan) -> NDArray[np.float32]:
    """Returns the scaled intensities, float32 of the same shape.

    Raises:
        GeometryError: constant_image, if nothing varies between the two percentiles.
    """
    values = voxels.astype(np.float64)  # one copy, changed in place: three would be most of what inference needs
    low, high = np.percentile(values, (plan.lower_percentile, plan.upper_percentile))
    np.clip(values, low, high, out=values)
    offset, scale = (values.mean(), values.std()) if plan.method == "zscore" else (low, high - low)
    if not scale > 0.0 or not np.isfinite(scale):
        raise geometry_error("constant_image", "almost all voxels have the same value")
    values -= offset
    values /= scale
    return values.astype(np.float32)
