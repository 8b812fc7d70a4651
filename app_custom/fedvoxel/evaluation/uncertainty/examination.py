"""Examines one result: how like the training cases its image is, and whether changed copies of it give the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.uncertainty.image_features import features_of
from fedvoxel.evaluation.uncertainty.probability import Voxels, dice_of, entropy_of, labels_of, tempered
from fedvoxel.evaluation.uncertainty.result_features import Found
from fedvoxel.evaluation.uncertainty.views import views_of
from fedvoxel.federation.calibration.plan import ExaminationPlan
from fedvoxel.federation.calibration.resemblance import Reference

Progress = Callable[[int, int], None]


class Model(Protocol):
    """Finds probabilities on prepared images, whatever computes them."""

    def probabilities(self, image: Voxels, progress: Progress | None = None) -> Voxels:
        """Returns softmax probabilities (classes, X, Y, Z) of an image (1, X, Y, Z)."""


@dataclass(frozen=True)
class Likeness:
    """Is how like the training cases an image is.

    Attributes:
        distance: About 1 for an image like them.
        off: Root mean square of how many standard deviations the features of each group are off.
    """

    distance: float
    off: dict[str, float]

    @property
    def most_unlike(self) -> tuple[str, ...]:
        """Returns the groups of features from the most to the least unusual."""
        return tuple(sorted(self.off, key=lambda name: -self.off[name]))


def likeness_of(
    image: Voxels, spacing_mm: tuple[float, float, float], probabilities: Voxels, plan: ExaminationPlan
) -> Likeness:
    """Holds an image and what was found on it, untempered, against the training cases."""
    features = features_of(image, spacing_mm, probabilities, plan.structures)
    return Likeness(plan.reference.distance(features), _by_group(plan.reference, features))


def examine(
    image: Voxels,
    spacing_mm: tuple[float, float, float],
    probabilities: Voxels,
    plan: ExaminationPlan,
    model: Model,
    progress: Progress | None = None,
) -> Found:
    """Looks at a result from all sides.

    Args:
        image: float32 (1, X, Y, Z), prepared.
        spacing_mm: Its voxel size.
        probabilities: What the model found on it, (classes, X, Y, Z), untempered.
        plan: How to look.
        model: Is asked about each view.
        progress: Is told (views done, views).
    """
    likeness = likeness_of(image, spacing_mm, probabilities, plan)
    label, own = labels_of(probabilities), tempered(probabilities, plan.temperature)
    mean, mean_entropy = own.copy(), entropy_of(own)
    agreements: list[list[float | None]] = [[] for _ in plan.structures]
    views = list(views_of(plan.views))
    for done, view in enumerate(views, start=1):
        seen = tempered(view.undone(model.probabilities(view.changed(image))), plan.temperature)
        _compare(labels_of(seen), label, agreements)
        mean += seen
        mean_entropy += entropy_of(seen)
        if progress is not None:
            progress(done, len(views))
    mean /= np.float32(1 + len(views))
    entropy = entropy_of(mean)
    disagreement = np.maximum(entropy - mean_entropy / np.float32(1 + len(views)), 0)
    return Found(own, label, entropy, disagreement, agreements, spacing_mm, likeness.distance, likeness.off)


def _compare(seen: NDArray[np.uint8], label: NDArray[np.uint8], agreements: Sequence[list[float | None]]) -> None:
    for code, values in enumerate(agreements, start=1):
        values.append(dice_of(seen == code, label == code))


def _by_group(reference: Reference, features: NDArray[np.float64]) -> dict[str, float]:
    scaled = reference.scaled(features)
    groups = np.array([name.split(".")[0] for name in reference.names])
    return {
        str(group): float(np.sqrt(np.mean(scaled[groups == group] ** 2))) for group in dict.fromkeys(groups.tolist())
    }
