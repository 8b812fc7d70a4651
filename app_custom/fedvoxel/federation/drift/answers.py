"""What a hospital tells of the images that a model has met there, or that they are too few; checked as strictly here.

Distances are counted in the reference's cells, of which none holds few images. Few are counted together with others
that are nearer, where the nearest of them is, so that images in use never seem farther away than they are: the
validation patients that they are held against were moved the other way.
"""

from collections.abc import Mapping
from itertools import accumulate
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.calibration.moments import Count
from fedvoxel.federation.calibration.plan import StructureName
from fedvoxel.federation.calibration.score_counts import ScoreCounts
from fedvoxel.federation.drift.reference import WatchQuestion
from fedvoxel.federation.drift.signs import LEAST_IMAGES
from fedvoxel.federation.reader_study.cells import Told, least_whole
from fedvoxel.records.names import Sha256

MINIMUM_IMAGES = 5
"""No hospital tells a number about fewer images; its policy may ask for more."""


def least_images(minimum: int) -> int:
    """Returns how many images an answer needs: enough for a sign, and to hide a few of them among the others."""
    return max(LEAST_IMAGES, least_whole(2, minimum))


class MeanVolume(FrozenModel):
    """Is how large a structure was.

    Attributes:
        images: In how many it was found; where it was missing in a few, the fewest that these can be.
        mean_log: Mean natural logarithm of its volume in mL, over all in which it was found.
    """

    images: Count
    mean_log: Annotated[float, Field(ge=-100, le=100)]


class _About(FrozenModel):
    schema_version: Literal[1] = 1
    minimum_images: Annotated[int, Field(ge=MINIMUM_IMAGES, le=500)]


class TooFewImages(_About):
    """Is what a hospital sends that has too few images that it has told nothing of yet: only that."""

    below_minimum: Literal[True] = True


class WatchAnswer(_About):
    """Is what a hospital tells of the images that a model has met.

    Attributes:
        package: Identity of the package.
        images: How many.
        distances: How far they are from the training cases, in the reference's cells.
        unusual: How many are farther away than the reference's limit; "few" for one from 1 to below the minimum; None
            where all but a few are.
        volumes: By structure; None where it was found in too few.
    """

    below_minimum: Literal[False] = False
    package: Sha256
    images: Count
    distances: ScoreCounts
    unusual: Told
    volumes: dict[StructureName, MeanVolume | None]

    @property
    def unusual_at_least(self) -> int:
        """Returns the fewest unusual images that there can be."""
        if isinstance(self.unusual, int):
            return self.unusual
        return 1 if self.unusual else self.images - self.minimum_images + 1

    @model_validator(mode="after")
    def _tells_of_no_few(self) -> Self:
        least = self.minimum_images
        if self.images < least_images(least):
            raise ValueError("there are too few images for any answer")
        if self.distances.patients != self.images or self.distances.has_small_cells(least):
            raise ValueError("the cells do not hold all images, or one holds few")
        # Each such sum is one of cells that are told, so that none splits off a few.
        if isinstance(self.unusual, int) and self.unusual not in accumulate(reversed(self.distances.counts), initial=0):
            raise ValueError("the unusual images are not those of the farthest cells")
        return self

    @model_validator(mode="after")
    def _means_are_about_enough(self) -> Self:
        for volume in self.volumes.values():
            without = 0 if volume is None else self.images - volume.images
            few = 0 < without < self.minimum_images - 1
            if without < 0 or few or (volume is not None and volume.images < LEAST_IMAGES):
                raise ValueError("a volume is that of few images, or is missing in few")
        return self


def parse_answer(values: Any, site: str) -> WatchAnswer | TooFewImages:
    """Reads what a site sent.

    Raises:
        UpdateError: It is not of the expected form.
    """
    few = isinstance(values, Mapping) and values.get("below_minimum") is True
    kind: type[WatchAnswer | TooFewImages] = TooFewImages if few else WatchAnswer
    try:
        return parse_config(kind, values, f"{site}'s drift watch")
    except ConfigError as error:
        raise UpdateError(str(error)) from None


def check_fits(answer: WatchAnswer, asked: WatchQuestion) -> None:
    """Checks that an answer is one to what was asked.

    Raises:
        UpdateError: It is about another package, other cells, structures or more images, or contradicts itself.
    """
    reference = asked.reference
    if answer.package != asked.package:
        raise UpdateError("the answer is about another package")
    if answer.distances.edges != reference.distances.edges:
        raise UpdateError("the answer's cells are not those of the job")
    if set(answer.volumes) != set(reference.log_volumes):
        raise UpdateError("the answer is about other structures than the job's")
    if answer.images > asked.last:
        raise UpdateError(f"the answer is about {answer.images} images, and {asked.last} were asked for")
    beyond = sum(answer.distances.counts[reference.first_unusual :])
    # Where few are unusual, they are counted nearer; where few are not, those are counted nearer and others with them.
    fits = beyond == answer.unusual if isinstance(answer.unusual, int) else beyond == 0 or answer.unusual is None
    if not fits or (answer.unusual is None and beyond == answer.images):
        raise UpdateError("the answer's unusual images are not those beyond the limit")
