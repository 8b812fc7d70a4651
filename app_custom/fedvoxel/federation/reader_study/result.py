"""What a reader study of all hospitals comes to: pooled shares with their limits, and who is not in it and why.

Where a hospital hides a count, the limits hold for every count that it may be: the lower one is that of the least, the
upper one that of the most. The intervals take cases for independent draws; hospitals differ, which they do not show.
"""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.federation.reader_study.answers import (
    SMALL_EDIT_DICE,
    Count,
    StudyAnswer,
    TooFewCases,
    Total,
)
from fedvoxel.federation.reader_study.cells import ranges_of
from fedvoxel.records.names import RunKey, Sha256

RESULT_FILE = "reader_study.json"
"""The name of the result in the job's workspace."""

CONFIDENCE = 0.95
_DIGITS = 4

Portion = Annotated[float, Field(ge=0, le=1)]


class Share(FrozenModel):
    """Is a share of cases.

    Attributes:
        cases: Of how many.
        at_least: The least that are in it, where hospitals hide counts.
        at_most: The most.
        low: Lower limit, 95 %.
        high: Upper limit.
    """

    cases: Count
    at_least: Count
    at_most: Count
    low: Portion
    high: Portion


class Pooled(FrozenModel):
    """Is all hospitals' answers together.

    Attributes:
        hospitals: How many told.
        cases: How many cases all their readers have answered.
        accepted: As they were.
        usable: As they were, or after a touch-up.
        rejected: Not at all.
        preferred: The model's outline was the better one, of cases read blinded beside another; None without.
        mean_edit_dice: Over corrected cases of hospitals that tell it; None without.
        mean_active_s: Time on a case, over all cases.
    """

    hospitals: Annotated[int, Field(ge=1)]
    cases: Count
    accepted: Share
    usable: Share
    rejected: Share
    preferred: Share | None
    mean_edit_dice: float | None
    mean_active_s: float


class ReaderStudyResult(FrozenModel):
    """Is the content of `reader_study.json`.

    Attributes:
        study: The study's name.
        package: Identity of the package that was read.
        small_edit_dice: From which Dice on a correction was a touch-up.
        sites: What each hospital told.
        absent: Hospitals that are not in it, with the reason.
        pooled: All together; None where no hospital told.
        says: The same for people.
    """

    schema_version: Literal[1] = 1
    study: RunKey
    package: Sha256
    small_edit_dice: float = SMALL_EDIT_DICE
    sites: dict[str, StudyAnswer]
    absent: dict[str, str]
    pooled: Pooled | None
    says: tuple[str, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if any(answer.package != self.package for answer in self.sites.values()):
            raise ValueError("a hospital has read another package")
        if self.pooled != _pooled(list(self.sites.values())) or self.small_edit_dice != SMALL_EDIT_DICE:
            raise ValueError("what is pooled is not what the hospitals told")
        return self


def find_result(folder: Path) -> ReaderStudyResult | None:
    """Returns the result in a downloaded job, or None where it is another job.

    Raises:
        ConfigError: It is not what a job writes.
    """
    for path in (folder / RESULT_FILE, folder / "workspace" / RESULT_FILE):
        if path.is_file():
            return load_json_config(ReaderStudyResult, path, "the result of the reader study")
    return None


def make_result(
    study: str, package: str, answers: Mapping[str, StudyAnswer | TooFewCases], absent: Mapping[str, str]
) -> ReaderStudyResult:
    """Returns the result; it does not depend on the order of arrival.

    Args:
        study: The study's name.
        package: Identity of the package that was asked about.
        answers: What sites told, by name.
        absent: Sites that told nothing, with the reason.
    """
    sites = {name: answer for name, answer in sorted(answers.items()) if isinstance(answer, StudyAnswer)}
    few = {name: _few(answer) for name, answer in answers.items() if isinstance(answer, TooFewCases)}
    missing = dict(sorted({**absent, **few}.items()))
    pooled = _pooled(list(sites.values()))
    said = (*_sentences(pooled), *(f"{name} is not in it: {reason}" for name, reason in missing.items()))
    return ReaderStudyResult(study=study, package=package, sites=sites, absent=missing, pooled=pooled, says=said)


def _few(answer: TooFewCases) -> str:
    return f"too few cases that all of its readers have answered, for its minimum of {answer.minimum_cases} a number"


def wilson(part: int, whole: int) -> tuple[float, float]:
    """Returns the limits of a share, two-sided at `CONFIDENCE`.

    Raises:
        ValueError: There is no case, or more in the part than in the whole.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    if not 0 <= part <= whole or not whole:
        raise ValueError(f"expected a part of at least one case, got {part} of {whole}")
    z, share = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2), part / whole
    middle = (share + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z / (1 + z * z / whole) * sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    return max(0.0, middle - half), min(1.0, middle + half)


def _pooled(answers: Sequence[StudyAnswer]) -> Pooled | None:
    if not answers:
        return None
    edits = [answer.edit_dice for answer in answers if answer.edit_dice is not None]
    compared = [answer for answer in answers if answer.preferences is not None]
    verdicts: Callable[[StudyAnswer], Any] = lambda answer: answer.verdicts  # noqa: E731
    mean_s = _mean([answer.active_s for answer in answers])
    return Pooled(
        hospitals=len(answers),
        cases=sum(answer.cases for answer in answers),
        accepted=_share(answers, verdicts, ("accepted",)),
        usable=_share(answers, verdicts, ("accepted", "touched_up")),
        rejected=_share(answers, verdicts, ("rejected",)),
        preferred=_share(compared, lambda answer: answer.preferences, ("model",)) if compared else None,
        mean_edit_dice=_mean(edits),
        mean_active_s=0.0 if mean_s is None else mean_s,
    )


def _share(answers: Sequence[StudyAnswer], table: Callable[[StudyAnswer], Any], names: tuple[str, ...]) -> Share:
    least = most = 0
    for answer in answers:
        ranges = ranges_of(table(answer).model_dump(), answer.cases, answer.minimum_cases)
        inside = [ranges[name] for name in names]
        outside = [found for name, found in ranges.items() if name not in names]
        least += max(sum(low for low, _ in inside), answer.cases - sum(high for _, high in outside))
        most += min(sum(high for _, high in inside), answer.cases - sum(low for low, _ in outside))
    cases = sum(answer.cases for answer in answers)
    low, high = wilson(least, cases)[0], wilson(most, cases)[1]
    return Share(cases=cases, at_least=least, at_most=most, low=round(low, _DIGITS), high=round(high, _DIGITS))


def _mean(parts: Sequence[Total]) -> float | None:
    cases = sum(part.cases for part in parts)
    return round(sum(part.total for part in parts) / cases, _DIGITS) if cases else None


def _sentences(pooled: Pooled | None) -> list[str]:
    if pooled is None:
        return ["no hospital told anything"]
    said = [
        f"{pooled.cases} cases of {pooled.hospitals} {'hospital' if pooled.hospitals == 1 else 'hospitals'}",
        f"accepted as they were: {_words(pooled.accepted)}",
        f"usable, touched up at most: {_words(pooled.usable)}",
        f"rejected: {_words(pooled.rejected)}",
        f"{pooled.mean_active_s:.0f} s a case",
    ]
    if pooled.preferred:
        said.append(f"read blinded, the model's outline was the better one: {_words(pooled.preferred)}")
    if pooled.mean_edit_dice is not None:
        said.append(f"mean Dice of a correction: {pooled.mean_edit_dice:.3f}")
    return said


def _words(share: Share) -> str:
    part = f"{share.at_least}" if share.at_least == share.at_most else f"{share.at_least} to {share.at_most}"
    return f"{part} of {share.cases} (95 % interval {share.low:.3f} to {share.high:.3f})"
