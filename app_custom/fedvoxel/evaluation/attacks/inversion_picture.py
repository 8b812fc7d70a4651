"""Draws a patient's scan beside what attackers made of it. The picture shows a patient: it stays at the hospital."""

from typing import Any

import numpy as np

from fedvoxel.evaluation.attacks.findings import InversionFinding, Likeness
from fedvoxel.evaluation.attacks.leak import Reconstructions
from fedvoxel.evaluation.attacks.likeness import Volume
from fedvoxel.evaluation.figures import TRUTH_COLOUR, Picture, new_figure, picture_of

_TITLES = {
    "unprotected": "reconstructed:\nno protection",
    "protected": "reconstructed:\nthe job's noise",
    "sent": "reconstructed:\nfrom what was sent",
}


def inversion_picture(made: Reconstructions) -> Picture:
    """Draws one axial slice, the one with most of the structures, of the scan and of each reconstruction.

    All panels share one window, that of the scan; a reconstruction is first brought to the scan's mean and spread,
    which a correlation does not see either.
    """
    index = int((made.labels > 0).sum(axis=(0, 1)).argmax())
    window = tuple(np.percentile(made.truth, [1.0, 99.0]))
    figure = new_figure(2.6 * (1 + len(made.found)), 4.8)
    panels = figure.subplots(1, 1 + len(made.found), squeeze=False)[0]
    _show(panels[0], made.truth, index, window, "the patient's scan", "outline: the structures")
    outline = (made.labels[:, :, index] > 0).T.astype(float)
    if outline.any() and not outline.all():
        panels[0].contour(outline, [0.5], colors=[TRUTH_COLOUR], linewidths=1.6)
    for axes, (name, volume) in zip(panels[1:], made.found.items(), strict=True):
        figures = likenesses(made.finding)[name]
        _show(axes, _matched(volume, made.truth), index, window, _TITLES[name], _said(figures, made.finding))
    return picture_of(figure, "What an attacker would see", _alt(made.finding), shows_scan=True)


def likenesses(finding: InversionFinding) -> dict[str, Likeness]:
    """Returns what each reconstruction came to, by its name."""
    named = {"unprotected": finding.unprotected, "protected": finding.protected, "sent": finding.sent}
    return {name: value for name, value in named.items() if value is not None}


def _show(axes: Any, volume: Volume, index: int, window: tuple[float, ...], title: str, below: str) -> None:
    axes.imshow(volume[:, :, index].T, cmap="gray", vmin=window[0], vmax=window[1], origin="lower")
    # As radiologists look at it: the patient's right on the left.
    axes.set(xlim=(volume.shape[0] - 0.5, -0.5), ylim=(-0.5, volume.shape[1] - 0.5), xticks=[], yticks=[])
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(below, fontsize=9)


def _matched(volume: Volume, truth: Volume) -> Volume:
    spread = float(volume.std())
    scaled = (volume - volume.mean()) / (spread if spread > 0 else 1.0) * truth.std() + truth.mean()
    return np.asarray(scaled, dtype=np.float32)


def _said(figures: Likeness, finding: InversionFinding) -> str:
    return f"NCC {figures.ncc:.2f} ({figures.margin:+.2f} to\nthe next), rank {figures.rank} of {finding.patients}"


def _alt(finding: InversionFinding) -> str:
    parts = [
        f"{name}: correlation {value.ncc:.2f}, rank {value.rank} of {finding.patients}"
        for name, value in likenesses(finding).items()
    ]
    return "A slice of one patient's scan, and reconstructions of it (" + "; ".join(parts) + ")."
