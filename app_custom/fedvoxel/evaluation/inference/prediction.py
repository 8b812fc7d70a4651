"""Predicts one volume with one package's model."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.inference.memory import MemoryBound
from fedvoxel.evaluation.inference.session import Runtime
from fedvoxel.evaluation.inference.sliding import Progress, SlidingWindow
from fedvoxel.export.description import ModelDescription
from fedvoxel.volumes.plan import PreparedImage, prepare_image
from fedvoxel.volumes.restoring import label_on_original
from fedvoxel.volumes.volume import Volume

_RESTORING_BYTES = 9
"""For each voxel of the original: two probabilities in float32, and the label."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Is what a model found in one volume.

    Attributes:
        label: uint8 (X, Y, Z) on the voxels of the original volume: 0 background, 1 + i the description's structure i.
        probabilities: float32 (classes, X, Y, Z) on the prepared grid, the background's first; they add up to 1.
        prepared: The image as the network took it, and how it came from the original.
    """

    label: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    prepared: PreparedImage


@dataclass(frozen=True)
class Predictor:
    """Holds a model that is ready to be used on one volume after the other.

    Attributes:
        description: What the package says of the model.
        runtime: What computes it.
        bound: The memory that this process may reach.
    """

    description: ModelDescription
    runtime: Runtime
    bound: MemoryBound

    def predict(self, volume: Volume, progress: Progress | None = None) -> Prediction:
        """Finds the structures in a volume.

        Raises:
            GeometryError: The volume cannot be prepared as the model's plan says.
            PredictionError: It does not fit into the memory allowed, or the model fails.
        """
        self.bound.require_preparing(volume.shape)
        prepared = prepare_image(volume, self.description.plan)
        window = SlidingWindow(self.runtime, self.description.channels, self.description.inference, self.bound)
        probabilities = window.probabilities(prepared.image, progress)
        if prepared.grid is not None:
            self.bound.require(math.prod(volume.shape) * _RESTORING_BYTES, "bringing the result back to the image")
        return Prediction(label_on_original(probabilities, prepared), probabilities, prepared)
