"""What a release may ask of a reader study, stated beforehand, and whether a result meets it."""

from typing import Annotated, Literal

from pydantic import Field

from fedvoxel.config import FrozenModel
from fedvoxel.federation.reader_study.answers import Count
from fedvoxel.federation.reader_study.result import Portion, ReaderStudyResult
from fedvoxel.records.canonical import sha256_of
from fedvoxel.records.names import RunKey, Sha256

Wanted = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


class ReaderStudyRequirement(FrozenModel):
    """Is what must be seen.

    Attributes:
        minimum_hospitals: How many hospitals must have told.
        minimum_cases: How many cases, over all of them.
        usable_at_least: What the lower limit (95 %) of usable cases must reach: accepted, or touched up.
        rejected_at_most: What the upper limit (95 %) of rejected cases must not pass.
    """

    schema_version: Literal[1] = 1
    minimum_hospitals: Wanted
    minimum_cases: Wanted
    usable_at_least: Portion
    rejected_at_most: Portion


class ReaderStudySeen(FrozenModel):
    """Is what was seen.

    Attributes:
        study: The study's name.
        result: SHA-256 of the result's canonical JSON.
        hospitals: How many told.
        cases: How many cases.
        usable_low: Lower limit of usable cases.
        rejected_high: Upper limit of rejected cases.
    """

    study: RunKey
    result: Sha256
    hospitals: Count
    cases: Count
    usable_low: Portion
    rejected_high: Portion


class ReaderStudyEvidence(FrozenModel):
    """Is both, as a release records it."""

    required: ReaderStudyRequirement
    seen: ReaderStudySeen

    @property
    def words(self) -> str:
        """Is the evidence for people."""
        seen = self.seen
        return (
            f"{seen.hospitals} hospitals, {seen.cases} cases: usable at least {seen.usable_low:.3f}, "
            f"rejected at most {seen.rejected_high:.3f}"
        )


def seen_in(result: ReaderStudyResult) -> ReaderStudySeen:
    """Returns what a result has to show; nothing and the worst where no hospital told."""
    pooled = result.pooled
    return ReaderStudySeen(
        study=result.study,
        result=sha256_of(result.model_dump(mode="json")),
        hospitals=pooled.hospitals if pooled else 0,
        cases=pooled.cases if pooled else 0,
        usable_low=pooled.usable.low if pooled else 0.0,
        rejected_high=pooled.rejected.high if pooled else 1.0,
    )


def unmet(evidence: ReaderStudyEvidence) -> list[str]:
    """Returns what is required and was not seen, a line each; empty where all was."""
    required, seen = evidence.required, evidence.seen
    found = []
    if seen.hospitals < required.minimum_hospitals:
        found.append(f"{seen.hospitals} hospitals, required {required.minimum_hospitals}")
    if seen.cases < required.minimum_cases:
        found.append(f"{seen.cases} cases, required {required.minimum_cases}")
    if seen.usable_low < required.usable_at_least:
        found.append(f"usable at least {seen.usable_low:.3f}, required {required.usable_at_least:.3f}")
    if seen.rejected_high > required.rejected_at_most:
        found.append(f"rejected at most {seen.rejected_high:.3f}, allowed {required.rejected_at_most:.3f}")
    return found
