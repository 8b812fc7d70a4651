"""Makes the card of one case: everything that its place in the contact sheet shows.

A card shows a patient: it is kept in a folder that only its owner may read, and stays in the hospital.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.cohorts.class_marks import ClassMark, class_marks
from fedvoxel.evaluation.cohorts.intensity_curve import IntensityCurves, intensity_curves
from fedvoxel.evaluation.cohorts.slices import Scan, View, shown_box, views_of
from fedvoxel.evaluation.cohorts.window import Window, window_of
from fedvoxel.volumes.resampling import reorient
from fedvoxel.volumes.sidecar import Sidecar
from fedvoxel.volumes.split import Split
from fedvoxel.volumes.volume import Affine, LabelledVolume, spacing_of

CARD_VERSION = 2
"""Counts up whenever a card of the same case would look different: kept cards are then drawn again."""


class CaseCard(FrozenModel):
    """Is what the contact sheet shows of one case.

    Attributes:
        inputs: SHA-256 of all that the card was made from.
        case: The case's pseudonym.
        patient: The patient's pseudonym.
        split: The split of its patient.
        shape: Voxels to the right, front, top.
        spacing_mm: Voxel size along those axes.
        tilt_degrees: The largest angle between those axes and the patient's.
        marks: What each class marks.
        curves: Its histograms.
        window: Which intensities are black and white.
        image_sha256: SHA-256 of the voxels in RAS order, to find the same image twice.
        facts: What its sidecar says, by BIDS name.
        views: Its slices.
    """

    inputs: str
    case: str
    patient: str
    split: Split
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    tilt_degrees: float
    marks: tuple[ClassMark, ...]
    curves: IntensityCurves
    window: Window
    image_sha256: str
    facts: Mapping[str, str | float]
    views: tuple[View, ...]


@dataclass(frozen=True)
class CardSubject:
    """Says whom a card is about, by pseudonyms; the facts are the sidecar's."""

    patient: str
    split: Split
    classes: tuple[str, ...]
    facts: Sidecar
    inputs: str


def card_of(volume: LabelledVolume, subject: CardSubject) -> CaseCard:
    """Returns the card of a labelled volume."""
    voxels, affine = reorient(volume.image.voxels, volume.image.affine, "RAS")
    label, _ = reorient(volume.label, volume.image.affine, "RAS")
    scan = Scan(voxels, label, spacing_of(affine), len(subject.classes))
    box = shown_box(scan)
    shown = voxels[tuple(slice(*part) for part in box)]
    modality = subject.facts.get("Modality")
    window = window_of(voxels, label > 0, shown, modality if isinstance(modality, str) else None)
    x, y, z = voxels.shape
    return CaseCard(
        inputs=subject.inputs,
        case=volume.case,
        patient=subject.patient,
        split=subject.split,
        shape=(x, y, z),
        spacing_mm=scan.spacing_mm,
        tilt_degrees=_tilt_degrees(affine),
        marks=class_marks(label, subject.classes, scan.spacing_mm),
        curves=intensity_curves(voxels, label, len(subject.classes)),
        window=window,
        image_sha256=hashlib.sha256(np.ascontiguousarray(voxels).tobytes()).hexdigest(),
        facts=subject.facts,
        views=views_of(scan, box, window),
    )


def _tilt_degrees(affine: Affine) -> float:
    """Returns the largest angle between an axis of the voxels and the patient's axis next to it."""
    along = np.abs(np.diag(affine)[:3]) / np.array(spacing_of(affine))
    return round(float(np.degrees(np.arccos(np.clip(along, -1.0, 1.0))).max()), 1)
