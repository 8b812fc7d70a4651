"""Cuts a case where model and truth differ most, with the outlines of both: what a radiologist looks at first."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.cohorts.outlines import Ring, outline_of
from fedvoxel.evaluation.cohorts.slices import Scan, View, as_shown, view_of
from fedvoxel.evaluation.cohorts.window import window_of
from fedvoxel.evaluation.cutting import VIEWS, box_around, largest_cut, slice_in
from fedvoxel.volumes.resampling import reorient
from fedvoxel.volumes.volume import LabelledVolume, spacing_of

MARGIN_MM = 15.0
"""Surroundings shown around the structures."""

Rings = tuple[tuple[Ring, ...], ...]


@dataclass(frozen=True)
class CaseViews:
    """Is what is shown of a case.

    Attributes:
        views: Axial, coronal and sagittal, each where most voxels differ, with the outlines of the truth.
        model: For each view the model's outlines, by structure.
        window: Which intensities are black and white, in words.
    """

    views: tuple[View, ...]
    model: tuple[Rings, ...]
    window: str


def case_views(volume: LabelledVolume, predicted: NDArray[np.uint8], structures: int) -> CaseViews:
    """Cuts one case.

    Args:
        volume: Image and truth.
        predicted: The model's label on the same voxels.
        structures: How many codes there are, beside the background.
    """
    affine = volume.image.affine
    voxels, turned = reorient(volume.image.voxels, affine, "RAS")
    truth, model = (reorient(label, affine, "RAS")[0] for label in (volume.label, predicted))
    scan = Scan(voxels, truth, spacing_of(turned), structures)
    inside = (truth > 0) | (model > 0)
    box = box_around(inside, scan.spacing_mm, MARGIN_MM)
    window = window_of(voxels, inside, voxels[tuple(slice(*part) for part in box)], None)
    differing = truth != model
    cuts = [(axis, _cut(differing, inside, axis), name, across + along) for axis, name, across, along in VIEWS]
    views = tuple(view_of(scan, box, cut, window) for cut in cuts)
    outlines = tuple(_outlines(model[slice_in(box, cut[0], cut[1])], structures) for cut in cuts)
    return CaseViews(views, outlines, window.words)


def _cut(differing: NDArray[np.bool_], inside: NDArray[np.bool_], axis: int) -> int:
    return largest_cut(differing if differing.any() else inside, axis)


def _outlines(cut: NDArray[np.uint8], structures: int) -> Rings:
    shown = as_shown(cut)
    return tuple(outline_of(shown == 1 + which) for which in range(structures))
