"""The words of a privacy claim: an epsilon never travels without what it means.

A number alone promises nothing. A `Guarantee` always says for whom (unit), against whom (adversary), compared with
what (neighbouring relation), how it was computed (accountant) and what it adds up (composition). Where one of them
is missing there is no `Guarantee` object, and what is said is `NO_GUARANTEE`. This module imports no accountant, so
that whoever only reads or prints a claim needs none.
"""

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from fedvoxel.config import FrozenModel

NO_GUARANTEE = "no formal guarantee"
"""What a run without privacy accounting says of itself."""

PUBLIC_DATA = "trained only on cases that their hospitals have declared public"
"""What a run says of itself that no private case has touched."""

ACCOUNTANT = "dp-accounting 0.6.0, privacy loss distributions, pessimistic"
"""The accountant whose numbers this package states."""

PrivacyUnit = Literal["patient", "hospital"]
"""Whose data are hidden: one patient with all of their scans, or one hospital with all of its patients.

That a patient is in the cohort is hidden with them; that a hospital takes part is not, see `Neighbouring`."""

Neighbouring = Literal["add or remove one patient", "add or remove one hospital"]
"""Which two data sets cannot be told apart. A removed hospital's update counts as zero (zero-out),
and the hospital is still named among those that were asked."""

NEIGHBOURING: dict[PrivacyUnit, Neighbouring] = {
    "patient": "add or remove one patient",
    "hospital": "add or remove one hospital",
}

Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Guarantee(FrozenModel):
    """Is one claim of (epsilon, delta)-differential privacy, whole.

    Attributes:
        unit: Whose data are hidden.
        epsilon: Upper bound of the privacy loss, without unit, > 0.
        delta: Probability mass for which the bound may fail, in (0, 1).
        neighbouring: The relation that epsilon is stated for; the one that belongs to `unit`.
        accountant: What computed epsilon, with its version.
        adversary: What the one whom it holds against may see and know.
        composition: What epsilon adds up: rounds, jobs.
    """

    unit: PrivacyUnit
    epsilon: float = Field(gt=0)
    delta: float = Field(gt=0, lt=1)
    neighbouring: Neighbouring
    accountant: Text = ACCOUNTANT
    adversary: Text
    composition: Text

    @model_validator(mode="after")
    def _relation_belongs_to_the_unit(self) -> Self:
        if self.neighbouring != NEIGHBOURING[self.unit]:
            raise ValueError(f"unit {self.unit} goes with {NEIGHBOURING[self.unit]!r}, not {self.neighbouring!r}")
        return self

    def said(self) -> str:
        """Returns the claim as one sentence, with epsilon rounded up so that the text never promises more."""
        return (
            f"(ε = {rounded_up(self.epsilon)}, δ = {self.delta})-differential privacy of each {self.unit} "
            f"({self.neighbouring}) against one who {self.adversary}, over {self.composition}, "
            f"by {self.accountant}."
        )


def added(values: Iterable[float]) -> float:
    """Returns the sum, exact in decimals: ten times 1e-4 is 1e-3."""
    return float(sum(Decimal(repr(value)) for value in values))


def rounded_up(epsilon: float) -> str:
    """Returns epsilon as text with at most four decimals, never less than it is."""
    shown = math.ceil(epsilon * 1e4) / 1e4
    return f"{shown:.4f}".rstrip("0").rstrip(".") if shown < 1e6 else f"{math.ceil(epsilon)}"
