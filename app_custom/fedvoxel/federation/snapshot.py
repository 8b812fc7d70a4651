"""What an object of a run gives to be kept between two rounds, and takes back when the run goes on.

Values are JSON, arrays are named and in groups. Taking back what was given leaves an object that does the same, bit for
bit, as the one that gave it. Arrays are shared, never copied: nobody changes an array in place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Group = dict[str, NDArray[Any]]
"""Arrays by name, as `updates.weights_file` writes them."""


@dataclass(frozen=True)
class Snapshot:
    """Is the state of one object, or of several under names of their own.

    Attributes:
        values: Plain values, as JSON has them.
        arrays: Named arrays by the name of their group.
    """

    values: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Group] = field(default_factory=dict)

    def part(self, name: str) -> "Snapshot":
        """Returns what was joined under a name."""
        head = f"{name}/"
        arrays = {group[len(head) :]: arrays for group, arrays in self.arrays.items() if group.startswith(head)}
        return Snapshot(self.values[name], arrays)


def joined(parts: Mapping[str, Snapshot]) -> Snapshot:
    """Returns several snapshots as one, each under its name, which holds no slash."""
    arrays = {f"{name}/{group}": arrays for name, part in parts.items() for group, arrays in part.arrays.items()}
    return Snapshot({name: part.values for name, part in parts.items()}, arrays)


def random_state(random: np.random.Generator) -> dict[str, Any]:
    """Returns a generator's state as JSON."""
    return dict(random.bit_generator.state)
