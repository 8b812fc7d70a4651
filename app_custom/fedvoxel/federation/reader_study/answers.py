"""What a hospital tells of its reading of one package, or that it has too few cases; checked as strictly when it comes.

A case counts once, however many have read it: with the verdict of the strictest reader, and only if all have answered.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.reader_study.cells import Told, keeps_small_ones, least_whole
from fedvoxel.records.names import Sha256

MINIMUM_CASES = 5
"""No hospital tells a number about fewer cases; its policy may ask for more."""

SMALL_EDIT_DICE = 0.9
"""From this Dice on, before against after and in every structure, a correction is a touch-up.

It is no setting: the difference of two jobs with two thresholds would tell of the cases between them.
"""

VERDICTS = ("accepted", "touched_up", "corrected", "rejected")
"""The parts into which all cases fall, the best first."""

RATINGS = (1, 5)
"""The worst and the best rating."""

Count = Annotated[int, Field(ge=0, strict=True)]
Seconds = Annotated[float, Field(ge=0, le=10_000_000)]


class Verdicts(FrozenModel):
    """Says how many cases were accepted as they were, after a touch-up, after a real correction, or not at all."""

    accepted: Told
    touched_up: Told
    corrected: Told
    rejected: Told


class Preferences(FrozenModel):
    """Says in how many cases of a blinded reading the model's outline, the other or neither was the better one."""

    model: Told
    other: Told
    equal: Told


class Agreement(FrozenModel):
    """Says of the cases that not all readers accepted in how many some did, and in how many none."""

    some_accept: Count
    none_accept: Count


class RatingBand(FrozenModel):
    """Says in how many cases the lowest rating was from `low` to `high`."""

    low: Annotated[int, Field(ge=1, le=5)]
    high: Annotated[int, Field(ge=1, le=5)]
    cases: Count


class Total(FrozenModel):
    """Is a sum over cases, for a mean over hospitals."""

    cases: Count
    total: FiniteFloat


class _About(FrozenModel):
    schema_version: Literal[1] = 1
    minimum_cases: Annotated[int, Field(ge=MINIMUM_CASES, le=1000)]


class TooFewCases(_About):
    """Is what a hospital sends that has too few cases: only that."""

    below_minimum: Literal[True] = True


class StudyAnswer(_About):
    """Is what a hospital tells of its reading.

    Attributes:
        package: Identity of the package that was read.
        blinded: Whether the readers did not know which outline was the model's.
        readers: How many read every case.
        cases: How many all of them have answered.
        listed: How many there were to read; None where telling it would tell of a few.
        verdicts: The strictest reader's, by case.
        ratings: The lowest, by case, in bands of at least the minimum.
        edit_dice: Sum over corrected cases of the mean Dice before and after; None where too few, or to protect others.
        active_s: Sum over all cases of the readers' mean time on it, in seconds.
        preferences: Of a blinded reading beside another outline; None without.
        agreement: Of two readers or more; None without, or where it would tell of a few.
    """

    below_minimum: Literal[False] = False
    package: Sha256
    blinded: bool
    readers: Annotated[int, Field(ge=1, le=20)]
    cases: Count
    listed: Count | None
    verdicts: Verdicts
    ratings: tuple[RatingBand, ...]
    edit_dice: Total | None
    active_s: Total
    preferences: Preferences | None
    agreement: Agreement | None

    @model_validator(mode="after")
    def _tells_of_no_few(self) -> Self:
        least = self.minimum_cases
        if self.cases < least_whole(len(VERDICTS), least):
            raise ValueError("there are too few cases for any answer")
        for table in (self.verdicts, self.preferences):
            if table is not None and not keeps_small_ones(table.model_dump(), self.cases, least):
                raise ValueError(f"a count of fewer than {least} cases is told, or can be worked out")
        unread = 0 if self.listed is None else self.listed - self.cases
        if unread and unread < least:
            raise ValueError("few cases were not read")
        return self

    @model_validator(mode="after")
    def _bands_cover_all_cases(self) -> Self:
        covered = [rating for band in self.ratings for rating in range(band.low, band.high + 1)]
        whole = covered == list(range(RATINGS[0], RATINGS[1] + 1)) and all(b.low <= b.high for b in self.ratings)
        small = any(band.cases < self.minimum_cases for band in self.ratings)
        if not whole or small or sum(band.cases for band in self.ratings) != self.cases:
            raise ValueError("the bands of ratings do not hold all cases, or one holds few")
        return self

    @model_validator(mode="after")
    def _sums_are_about_enough(self) -> Self:
        edited = (self.verdicts.touched_up, self.verdicts.corrected)
        if self.active_s.cases != self.cases:
            raise ValueError("the time is not that of all cases")
        if self.edit_dice is not None and not (
            self.edit_dice.cases >= self.minimum_cases
            and all(isinstance(count, int) for count in edited)
            and self.edit_dice.cases == sum(count for count in edited if isinstance(count, int))
        ):
            raise ValueError("the Dice of corrections tells how many few cases were corrected")
        accepted, parts = self.verdicts.accepted, self.agreement
        if parts is not None and not (
            isinstance(accepted, int)
            and parts.some_accept + parts.none_accept == self.cases - accepted
            and all(part == 0 or part >= self.minimum_cases for part in (parts.some_accept, parts.none_accept))
        ):
            raise ValueError("the agreement tells of few cases")
        return self


def parse_answer(values: Any, site: str) -> StudyAnswer | TooFewCases:
    """Validates what a site sent.

    Raises:
        UpdateError: It is not of the expected form.
    """
    few = isinstance(values, Mapping) and values.get("below_minimum") is True
    kind: type[StudyAnswer | TooFewCases] = TooFewCases if few else StudyAnswer
    try:
        return parse_config(kind, values, f"{site}'s reading")
    except ConfigError as error:
        raise UpdateError(str(error)) from None
