"""How a prediction is examined, the same at every hospital and later where the model is used."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.federation.calibration.resemblance import Reference

StructureName = Annotated[str, Field(min_length=1, max_length=200)]
Structures = Annotated[tuple[StructureName, ...], Field(min_length=1, max_length=254)]
Axis = Literal[0, 1, 2]


class ViewPlan(FrozenModel):
    """Says which changed copies of an image the model must agree on: only such as it was trained to endure.

    Attributes:
        flip_axes: Axes (0, 1, 2) of the prepared image that may be flipped; each gives one view. None for anatomy with
            a left and a right, unless training flipped it too.
        shift_voxels: By how many voxels the image is shifted, in four directions; 0 gives no such view.
        intensity_scale: The relative change of intensity, up and down; 0 gives no such view.
    """

    flip_axes: Annotated[tuple[Axis, ...], Field(max_length=3)] = ()
    shift_voxels: int = Field(default=1, ge=0, le=8)
    intensity_scale: float = Field(default=0.1, ge=0, le=0.5)

    @model_validator(mode="after")
    def _has_a_view(self) -> Self:
        if not (self.flip_axes or self.shift_voxels or self.intensity_scale):
            raise ValueError("expected at least one kind of view")
        if len(set(self.flip_axes)) < len(self.flip_axes):
            raise ValueError("flip_axes names an axis twice")
        return self


class Spread(FrozenModel):
    """Is how a quantity varies over the training cases."""

    mean: float
    deviation: float = Field(gt=0)


class ExaminationPlan(FrozenModel):
    """Is what a prediction is held against.

    Attributes:
        structures: The job's classes, in the order of their codes.
        views: The changed copies.
        temperature: What logits are divided by.
        reference: What training cases look like.
        log_volumes: Natural logarithm of each structure's true volume in mL over the training cases; None where too few
            have it.
    """

    structures: Structures
    views: ViewPlan
    temperature: float = Field(gt=0, le=100)
    reference: Reference
    log_volumes: dict[StructureName, Spread | None]

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        if set(self.log_volumes) != set(self.structures):
            raise ValueError("log_volumes must name the structures")
        return self
