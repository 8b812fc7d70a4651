"""Scores of single cases, as a site computes and keeps them; only their summary leaves (`federation.outcome`)."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CaseScore:
    """Holds one case's scores per class.

    Attributes:
        case: The case's pseudonym.
        dice: Dice in 0..1 by class name; None where neither truth nor prediction holds the class.
        hd95_mm: 95th percentile Hausdorff distance in mm by class name; None where one of the surfaces is empty.
    """

    case: str
    dice: Mapping[str, float | None]
    hd95_mm: Mapping[str, float | None]
