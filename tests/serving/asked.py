"""Requests of which every voxel of the reply is known: the sample package's model tells structures by brightness."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.serving.question import Question, Tensor, question_of
from tests.evaluation.inference.bright_studies import LEVELS, levels

SIZE = (20, 28, 22)
AFFINE = np.array([[0.0, -0.75, 0.0, 5.0], [1.25, 0.0, 0.0, -7.0], [0.0, 0.0, 3.0, 11.0], [0.0, 0.0, 0.0, 1.0]])
"""Axes that are turned; in numbers that a NIfTI file, whose affine is float32, keeps exactly."""


def codes_of(seed: int = 0) -> NDArray[np.uint8]:
    return levels(SIZE, seed)


def image_of(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.array(LEVELS, np.float32)[codes]


def image_tensor(values: NDArray[Any], datatype: str = "FP32", **parameters: Any) -> Tensor:
    return Tensor("image", datatype, values, parameters)


def affine_tensor(values: NDArray[Any] = AFFINE, datatype: str = "FP64") -> Tensor:
    return Tensor("affine", datatype, values, {})


def question(
    values: NDArray[Any],
    *outputs: str,
    parameters: Mapping[str, Any] | None = None,
    affine: NDArray[np.float64] = AFFINE,
) -> Question:
    return question_of([image_tensor(values), affine_tensor(affine)], parameters or {"modality": "MR"}, outputs)
