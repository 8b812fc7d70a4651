"""Puts each patient in one split, by a stable hash of the patient's id alone.

The same patient falls in the same split on every machine and in every run, whatever other patients come or go,
so no case that a model was tested on is ever trained on later. The fractions are met on average only.
"""

import hashlib
from typing import Literal, Self

from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel

Split = Literal["training", "validation", "test"]
SPLITS: tuple[Split, ...] = ("training", "validation", "test")
_ROUNDING = 1e-9


class SplitFractions(FrozenModel):
    """Says which share of the patients is held back; the rest is for training."""

    validation: float = Field(default=0.1, ge=0.0, le=1.0)
    test: float = Field(default=0.2, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _sums_to_at_most_one(self) -> Self:
        if self.validation + self.test > 1.0 + _ROUNDING:
            raise ValueError(f"validation + test is {self.validation + self.test:g}, expected at most 1")
        return self


def split_of(patient: str, fractions: SplitFractions) -> Split:
    """Returns the split of `patient`: test below `fractions.test`, validation next, training above.

    Raising `validation` never moves a patient out of or into test.
    """
    digest = hashlib.sha256(patient.encode("utf-8")).digest()
    position = int.from_bytes(digest[:6], "big") / 2**48  # [0, 1), exact in float64
    if position < fractions.test:
        return "test"
    if position < fractions.test + fractions.validation:
        return "validation"
    return "training"
