"""Medians over repetitions, and ratios to FedVoxel within the same repetition, of all systems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.parts import Values
from benchmarks.peers.systems import SYSTEMS

OURS = "ours"
FIGURES = ("model_s", "finished_s", "line_bytes", "inner_bytes", "peak_bytes", "cpu_s", "dice")
_COMPARED = ("model_s", "finished_s", "line_bytes", "peak_bytes", "cpu_s")


@dataclass(frozen=True)
class Measured:
    """Is one run of one system; `failed` says why there are no values."""

    system: str
    repetition: int
    values: Values
    failed: str = ""


def summarise(measured: Sequence[Measured]) -> dict[str, dict[str, Any]]:
    """Returns a row for each system that was tried: `runs`, `failed` reasons, medians, and `ratios` to FedVoxel.

    A ratio is the median over the repetitions in which both ran, each divided by FedVoxel's run of that repetition, so
    that a machine that was busier in one of them weighs on both sides. There is none where FedVoxel's value is 0.
    """
    ours = {one.repetition: one.values for one in measured if one.system == OURS and not one.failed}
    tried = [system for system in SYSTEMS if any(one.system == system for one in measured)]
    return {system: _row([one for one in measured if one.system == system], ours) for system in tried}


def _row(runs: Sequence[Measured], ours: Mapping[int, Values]) -> dict[str, Any]:
    good = [one for one in runs if not one.failed]
    row: dict[str, Any] = {"runs": len(good), "failed": sorted({one.failed for one in runs if one.failed})}
    if not good:
        return row
    row |= {figure: median(one.values[figure] for one in good) for figure in FIGURES}
    row["ratios"] = {}
    for figure in _COMPARED:
        pairs = [(one.values[figure], ours[one.repetition][figure]) for one in good if one.repetition in ours]
        quotients = [theirs / own for theirs, own in pairs if own]
        row["ratios"][figure] = median(quotients) if quotients else None
    return row
