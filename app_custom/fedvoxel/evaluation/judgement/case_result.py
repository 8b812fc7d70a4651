"""What came of one case."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.judgement.confidence import Reliability
from fedvoxel.evaluation.judgement.structure_score import StructureScore
from fedvoxel.volumes.sidecar import Sidecar

Scores = Mapping[str, StructureScore]
"""By structure."""


@dataclass(frozen=True)
class CaseResult:
    """Is one judged case, by pseudonyms.

    Attributes:
        case: The case.
        patient: The patient.
        hospital: The site.
        known: What its sidecar says; stays here.
        scores: The model's.
        other: Those of the model or reader that it is compared with; None where there is none.
        reliability: How sure the model was, by structure.
        remarks: What is unusual in the image for this model.
        failure: Why the model itself failed, which counts as having found nothing; None where it did not.
        other_failure: The same of the model that it is compared with.
    """

    case: str
    patient: str
    hospital: str
    known: Sidecar = field(repr=False)
    scores: Scores
    other: Scores | None
    reliability: Mapping[str, Reliability]
    remarks: tuple[str, ...] = ()
    failure: str | None = None
    other_failure: str | None = None

    @property
    def person(self) -> str:
        """Returns what tells its patient from those of all hospitals, each of which has pseudonyms of its own."""
        return f"{self.hospital}/{self.patient}"

    @property
    def badness(self) -> tuple[float, float, float, str]:
        """Returns what sorts the worst case first: its least Dice, its mean Dice, its largest HD95."""
        dice = [score.dice for score in self.scores.values() if score.dice is not None]
        far = [score.hd95_mm for score in self.scores.values() if score.hd95_mm is not None]
        if not dice:
            return 2.0, 2.0, 0.0, self.case
        return min(dice), sum(dice) / len(dice), -max(far), self.case


class Skipped(FrozenModel):
    """Says that a case was not judged, and why."""

    case: str
    hospital: str
    reason: str
    message: str
