"""A case as it is displayed: the same for all readers, kept in memory while it is looked at."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import ReviewError
from fedvoxel.evaluation.reading.label_facts import LabelFacts, label_facts
from fedvoxel.evaluation.reading.planes import Plane, displayed, planes_of
from fedvoxel.evaluation.reading.windows import WindowPreset, presets_for
from fedvoxel.review.reading import CaseVolumes


@dataclass(frozen=True, eq=False)
class ShownCase:
    """Holds a case's arrays as they are displayed; see `evaluation.reading.planes`.

    Attributes:
        volumes: The case on its own grid.
        planes: The three planes, by name.
        presets: Windows, that to begin with first.
        image: The image.
        labels: The label map of each candidate.
        facts: What is known of each of them.
    """

    volumes: CaseVolumes
    planes: Mapping[str, Plane]
    presets: tuple[WindowPreset, ...]
    image: NDArray[np.float32]
    labels: Mapping[str, NDArray[np.uint8]]
    facts: Mapping[str, LabelFacts]

    def uncertainty(self) -> NDArray[np.float32] | None:
        """Returns the map of uncertainty, or None.

        Raises:
            FedVoxelError: It cannot be read or trusted.
        """
        found = self.volumes.uncertainty
        return None if found is None else displayed(found.voxels(), self.volumes.image.affine)

    def plane(self, name: str, index: int) -> Plane:
        """Returns the plane of that name.

        Raises:
            ReviewError: There is none, or it has no such slice.
        """
        plane = self.planes.get(name)
        if plane is None or not 0 <= index < plane.slices:
            raise ReviewError("this case has no such slice")
        return plane


def shown_case(volumes: CaseVolumes, presets: tuple[WindowPreset, ...]) -> ShownCase:
    """Lays a case out for display; nothing is copied.

    Args:
        volumes: The case.
        presets: Windows to offer before those that the scan suggests.
    """
    affine = volumes.image.affine
    planes = {plane.name: plane for plane in planes_of(volumes.image)}
    labels = {name: displayed(label, affine) for name, label in volumes.labels.items()}
    return ShownCase(
        volumes=volumes,
        planes=planes,
        presets=(*presets, *presets_for(volumes.image.voxels, volumes.modality)),
        image=displayed(volumes.image.voxels, affine),
        labels=labels,
        facts={name: label_facts(label, planes) for name, label in labels.items()},
    )
