"""Says in a table what the inference benchmark found, and on which side of each target it is."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.inference.systems import SYSTEMS
from benchmarks.overhead.machine import QUIET
from benchmarks.parts import Values

SPEED_TARGET, MEMORY_TARGET_MIB, STUDY_TARGET_S = 1.5, 4096, 3.0
_EXPLANATION = """
Each run is a process of its own on all cores. Time is that of one volume, after one window that warms up: windows,
network, weighting, softmax where there is one, and label. Reading the model and preparing the image are left out for
all. Memory is the largest resident memory of the whole process: Python, libraries, model, image and result. Agreement
is the share of voxels with the label that MONAI's eager run gives; the networks are untrained, which puts many voxels
close to the border between two labels. What was tried only gives other results than the network that was scored:
FedVoxel does not do it.
"""


def rows_of(answers: Mapping[tuple[str, str], Sequence[Values]]) -> list[Values]:
    """Returns a row for each network and system: medians, and how many times faster than eager it is."""
    rows = []
    for (network, system), found in answers.items():
        row = {key: median(one[key] for one in found) for key in ("wall_s", "processor_s", "peak_mib", "agreement")}
        eager = median(one["wall_s"] for one in answers[network, "eager"])
        rows.append({"network": network, "system": system, **row, "speed": eager / row["wall_s"], "runs": len(found)})
    return rows


def verdicts(rows: Sequence[Values], study: Values | None) -> list[str]:
    """Returns a sentence for each target."""
    said = []
    for network in dict.fromkeys(row["network"] for row in rows):
        ours = [row for row in rows if row["network"] == network and SYSTEMS[row["system"]].is_ours]
        best = max(ours, key=lambda row: row["speed"])
        reached = "reaches" if best["speed"] >= SPEED_TARGET else "misses"
        below = "within" if best["peak_mib"] <= MEMORY_TARGET_MIB else "above"
        said.append(
            f"{network}: {SYSTEMS[best['system']].title} is {best['speed']:.2f} times as fast as MONAI eager, which "
            f"{reached} {SPEED_TARGET:g}, and takes {best['peak_mib']:.0f} MiB, {below} {MEMORY_TARGET_MIB}.\n"
        )
    if study is not None:
        seconds = median(study["seconds"])
        below = "within" if seconds <= STUDY_TARGET_S else "above"
        said.append(
            f"A hippocampus study of 32 slices, from the DICOM folder to the segmentation on the disk after start-up: "
            f"{seconds:.2f} s (median of {len(study['seconds'])}), {below} {STUDY_TARGET_S:g} s; "
            f"{study['peak_mib']:.0f} MiB.\n"
        )
    return said


def markdown(
    rows: Sequence[Values], study: Values | None, conditions: Mapping[str, Any], machine: Mapping[str, Any]
) -> str:
    """Returns the report's text."""
    shape, window = (" x ".join(map(str, conditions[name])) for name in ("shape", "window"))
    lines = ["# Time and memory of using a model", "", "`python -m benchmarks.inference`", ""]
    lines += [f"A synthetic CT of {shape} voxels, windows of {window}, {conditions['repeats']} runs of each.", ""]
    lines += ["| network | system | seconds | times eager's speed | processor s | MiB | agreement |"]
    lines += ["|---" * 7 + "|"]
    for tried in (False, True):
        chosen = [row for row in rows if SYSTEMS[row["system"]].is_tried is tried]
        lines += [_line(row) for row in chosen]
    lines += ["", *verdicts(rows, study), _EXPLANATION]
    quiet = "the machine was quiet" if conditions["others"] <= QUIET else "measure again on a quiet machine"
    lines += [f"Other programs used up to {conditions['others']:.2f} of a core during a run: {quiet}.", ""]
    lines += ["Machine: " + ", ".join(f"{name} {value}" for name, value in machine.items()) + ".", ""]
    return "\n".join(lines)


def _line(row: Values) -> str:
    system = SYSTEMS[row["system"]]
    title = f"{system.title} (tried only)" if system.is_tried else system.title
    return (
        f"| {row['network']} | {title} | {row['wall_s']:.1f} | {row['speed']:.2f} | {row['processor_s']:.1f} "
        f"| {row['peak_mib']:.0f} | {row['agreement']:.6f} |"
    )
