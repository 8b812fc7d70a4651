"""How far from the truth a prediction was, counted in cells that each hold several patients, or none.

Conformal prediction needs the order of such scores over many patients and nothing else of them. A hospital counts its
own in cells that all agree on; what would make a small cell is counted in the next one with larger scores. A score is
so never made smaller, and a bound that was read from the counts is never too narrow for that.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.federation.calibration.moments import Count

Edge = Annotated[float, Field(gt=0)]


class ScoreCounts(FrozenModel):
    """Holds counts of scores, one a patient.

    Attributes:
        edges: Rising upper ends of the cells; the last cell has none.
        counts: One more than edges.
    """

    edges: Annotated[tuple[Edge, ...], Field(min_length=1, max_length=1000)]
    counts: Annotated[tuple[Count, ...], Field(max_length=1001)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.counts) != len(self.edges) + 1 or any(np.diff(self.edges) <= 0):
            raise ValueError("expected rising edges, and one more count")
        return self

    @property
    def patients(self) -> int:
        """Returns how many scores were counted."""
        return sum(self.counts)

    def has_small_cells(self, minimum: int) -> bool:
        """Says whether a cell holds fewer than `minimum`, but not none."""
        return any(0 < count < minimum for count in self.counts)

    def bound(self, coverage: float) -> float | None:
        """Returns what the score of a further, exchangeable patient does not exceed with probability `coverage`.

        Source: Vovk, Gammerman and Shafer 2005; Angelopoulos and Bates 2023, section 1: the score of rank
        ceil((n + 1) coverage) among n. The end of its cell is returned, which is no smaller.

        Returns:
            The bound; None where there are too few patients for it, or the cell has no end.
        """
        rank = math.ceil(round((self.patients + 1) * coverage, 9))
        if rank > self.patients:
            return None
        cell = int(np.searchsorted(np.cumsum(self.counts), rank))
        return self.edges[cell] if cell < len(self.edges) else None


def least_patients(coverage: float) -> int:
    """Returns how many patients a bound with this coverage needs."""
    return math.ceil(round(coverage / (1 - coverage), 9))


def count_scores(scores: Sequence[float], edges: Sequence[float], minimum: int, nearest: bool = False) -> ScoreCounts:
    """Counts one hospital's scores, infinite ones in the last cell, with at least `minimum` in each cell or none.

    Args:
        scores: Of patients, or images.
        edges: Rising upper ends of the cells.
        minimum: No cell holds fewer, but none.
        nearest: Whether scores that are counted together are moved to the smallest of them instead of the largest,
            where they are what is held against counts of the other kind.

    Raises:
        ValueError: There are fewer scores than that, but not none.
    """
    if 0 < len(scores) < minimum:
        raise ValueError(f"expected no score or at least {minimum}, got {len(scores)}")
    cells = np.searchsorted(np.array(edges), np.array(scores, dtype=np.float64), side="left")
    exact = np.bincount(cells, minlength=len(edges) + 1)
    told, place, waiting, left = np.zeros_like(exact), len(exact) - 1, 0, len(scores)
    for cell in np.flatnonzero(exact)[::-1]:
        place = cell if nearest or waiting == 0 else place
        waiting, left = waiting + int(exact[cell]), left - int(exact[cell])
        if waiting >= minimum and (left == 0 or left >= minimum):
            # From the largest on, so that the cells that bounds are read from are the finest.
            told[place], waiting = waiting, 0
    return ScoreCounts(edges=tuple(float(edge) for edge in edges), counts=tuple(told.tolist()))


def add_counts(parts: Iterable[ScoreCounts]) -> ScoreCounts | None:
    """Returns the counts of all patients together; None where there are none.

    Raises:
        ValueError: Their cells differ.
    """
    several = list(parts)
    if not several:
        return None
    if any(part.edges != several[0].edges for part in several):
        raise ValueError("the counts are of different cells")
    counts = np.sum([part.counts for part in several], axis=0)
    return ScoreCounts(edges=several[0].edges, counts=tuple(counts.tolist()))
