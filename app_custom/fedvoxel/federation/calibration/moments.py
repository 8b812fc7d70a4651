"""First and second moments of some named quantities: sums that can be added up over hospitals."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel

MOST_NAMES = 128

Name = Annotated[str, Field(min_length=1, max_length=120)]
Names = Annotated[tuple[Name, ...], Field(min_length=1, max_length=MOST_NAMES)]
Numbers = Annotated[tuple[float, ...], Field(max_length=MOST_NAMES)]
Table = Annotated[tuple[Numbers, ...], Field(max_length=MOST_NAMES)]
Count = Annotated[int, Field(ge=0, le=10**12, strict=True)]


class Moments(FrozenModel):
    """Holds the number of rows, the sum of each quantity, and the sums of products of any two.

    Attributes:
        names: What the quantities are.
        rows: How many rows were added up; a patient may have several.
        sums: Sum of each.
        products: Sum of each product, symmetric.
    """

    names: Names
    rows: Count
    sums: Numbers
    products: Table

    @model_validator(mode="after")
    def _fits(self) -> Self:
        size = len(self.names)
        if len(self.sums) != size or len(self.products) != size or any(len(row) != size for row in self.products):
            raise ValueError(f"expected {size} sums and {size} x {size} products")
        products = np.array(self.products)
        if not np.allclose(products, products.T, rtol=1e-9):
            raise ValueError("products are not symmetric")
        return self

    @classmethod
    def of(cls, names: Sequence[str], rows: NDArray[np.float64]) -> "Moments":
        """Returns the moments of rows (N, len(names)), finite."""
        products = rows.T @ rows
        return cls(
            names=tuple(names),
            rows=len(rows),
            sums=tuple(rows.sum(axis=0).tolist()),
            products=tuple(tuple(row) for row in ((products + products.T) / 2).tolist()),
        )

    @property
    def mean(self) -> NDArray[np.float64]:
        """Returns the mean of each quantity."""
        return np.array(self.sums) / max(self.rows, 1)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Returns the covariance, divided by the number of rows."""
        mean = self.mean
        return np.array(self.products) / max(self.rows, 1) - np.outer(mean, mean)


def add_moments(parts: Iterable[Moments]) -> Moments | None:
    """Returns the moments of all rows together; None where there are none.

    Raises:
        ValueError: They are of different quantities.
    """
    several = list(parts)
    if not several:
        return None
    if any(part.names != several[0].names for part in several):
        raise ValueError("the moments are of different quantities")
    products = np.sum([np.array(part.products) for part in several], axis=0)
    return Moments(
        names=several[0].names,
        rows=sum(part.rows for part in several),
        sums=tuple(np.sum([np.array(part.sums) for part in several], axis=0).tolist()),
        products=tuple(tuple(row) for row in products.tolist()),
    )
