"""The simulated model: names and shapes of a plain stack of three-dimensional convolutions, five million parameters."""

import itertools
import math

CHANNELS = (1, 32, 64, 128, 256, 256, 256, 64, 3)


def layout() -> dict[str, tuple[int, ...]]:
    """Returns the shape of every array by name."""
    shapes: dict[str, tuple[int, ...]] = {}
    for index, (inputs, outputs) in enumerate(itertools.pairwise(CHANNELS)):
        shapes[f"block{index}.conv.weight"] = (outputs, inputs, 3, 3, 3)
        shapes[f"block{index}.conv.bias"] = (outputs,)
    return shapes


def parameter_count() -> int:
    """Returns how many parameters the model has."""
    return sum(math.prod(shape) for shape in layout().values())
