"""The report of the benchmark: a table of what was measured, and which side of the targets it is on."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.ingest.systems import ALL, DEIDENTIFY, HEADERS, VOLUME
from benchmarks.overhead.machine import QUIET
from benchmarks.parts import Values

NAMES = {"ours": "FedVoxel", "simpleitk": "SimpleITK", "dicom2nifti": "dicom2nifti", "dcm2niix": "dcm2niix"}
PEERS = ("simpleitk", "dicom2nifti")
MEMORY_TARGET = 1.5
_EXPLANATION = """
Headers: from the folder to the files of the series (FedVoxel: `find_series`; SimpleITK: `GetGDCMSeriesIDs` and
`GetGDCMSeriesFileNames`, which sorts by position; dicom2nifti: `read_dicom_directory`). Volume: from there to the array
of float32 (FedVoxel: reading all headers completely, and `volume_of` with its checks; SimpleITK: `ReadImage`;
dicom2nifti: `dicom_to_nifti`). What only FedVoxel does between the two, de-identification, is shown apart and is not in
"all". dcm2niix is one program that does it all and writes NIfTI, here into memory. Seconds of the clock, and processor
seconds in brackets; instances per second are those of "all" by the clock. Cold: the kernel was asked to forget the
files before each run; what then fetches the files from the disk is a peer's header pass, which reads them whole, but
our volume, so that only "all" is compared. Memory: the largest resident memory during a run, less what the process had
before it, over the size of the volume as float32; libraries are not counted, except for dcm2niix, where all of the
program is.
"""


def markdown(rows: Sequence[Values], conditions: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    """Returns the report's text."""
    lines = ["# From a CT series to a volume", "", "`python -m benchmarks.ingest`", ""]
    lines += [f"{conditions['slices']} slices of {conditions['side']} x {conditions['side']}, uncompressed, medians of"]
    lines += [f"{conditions['repeats']} runs that the systems take in turn.", ""]
    lines += ["| page cache | system | headers | volume | all | instances/s | de-identification | memory |"]
    lines += ["|---" * 8 + "|"]
    lines += [_line(row, conditions["slices"]) for row in rows]
    lines += ["", *verdicts(rows), _EXPLANATION, _others(conditions)]
    lines += ["Machine: " + ", ".join(f"{name} {value}" for name, value in machine.items()) + ".", ""]
    return "\n".join(lines)


def verdicts(rows: Sequence[Values]) -> list[str]:
    """Returns a sentence for each target: our time over that of the fastest Python peer, and memory."""
    said = []
    for state, stage in (("warm", HEADERS), ("warm", VOLUME), ("warm", ALL), ("cold", ALL)):
        took = {row["system"]: _took(row, stage)[0] for row in rows if row["state"] == state}
        peer = min(PEERS, key=lambda name: took[name])
        ratio = took["ours"] / took[peer]
        side = "not slower" if ratio <= 1 else "slower"
        said.append(f"{state.capitalize()}, {stage}: {ratio:.2f} of {NAMES[peer]}'s time, {side}.\n")
    memory = max(row["memory_ratio"] for row in rows if row["system"] == "ours")
    side = "within" if memory <= MEMORY_TARGET else "above"
    return [*said, f"Memory: {memory:.2f} of the volume, {side} {MEMORY_TARGET:g}.\n"]


def _took(row: Values, stage: str) -> list[float]:
    """Returns (wall, processor) seconds of a stage, or of all from the folder to the volume; NaN if not told apart."""
    seconds = row["seconds"]
    if stage == ALL and ALL not in seconds:
        return [seconds[HEADERS][clock] + seconds[VOLUME][clock] for clock in (0, 1)]
    return list(seconds.get(stage, (math.nan, math.nan)))


def _line(row: Values, slices: int) -> str:
    took = [_took(row, stage) for stage in (HEADERS, VOLUME, ALL)]
    cells = [*map(_cell, took), f"{slices / took[-1][0]:.0f}"]
    cells += [_cell(_took(row, DEIDENTIFY)), f"{row['memory_ratio']:.2f}"]
    return f"| {row['state']} | {NAMES[row['system']]} | " + " | ".join(cells) + " |"


def _cell(took: Sequence[float]) -> str:
    return "" if math.isnan(took[0]) else f"{took[0]:.3f} ({took[1]:.3f})"


def _others(conditions: Mapping[str, Any]) -> str:
    share = conditions["others_cpu_s"] / max(conditions["cpu_s"] + conditions["others_cpu_s"], 1e-9)
    if share <= QUIET:
        return ""
    return f"Taken on a busy machine: other programs took {share:.0%} of the processor time that was used meanwhile.\n"
