"""Says what was found, in words made from the figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.peers.summary import OURS
from benchmarks.peers.systems import SYSTEMS

Rows = Mapping[str, Mapping[str, Any]]
_SAME_DICE = 0.01


def finding(rows: Rows) -> str:
    """Returns one paragraph: time, bytes, memory and Dice of every system that ran, against FedVoxel."""
    ran = {system: row for system, row in rows.items() if row["runs"]}
    failed = [SYSTEMS[system] for system, row in rows.items() if not row["runs"]]
    if OURS not in ran:
        return "FedVoxel did not finish, so there is nothing to compare with."
    others = {system: row for system, row in ran.items() if system != OURS}
    sentences = [
        _compared("Until the last model", others, "model_s", "of FedVoxel's time"),
        _compared("On the hospitals' lines", others, "line_bytes", "of FedVoxel's bytes"),
        _compared("At the peak of memory", others, "peak_bytes", "of FedVoxel's memory"),
        _dice(ran),
    ]
    if failed:
        sentences.append(f"{_listed(failed)} did not finish: the reason stands below.")
    return " ".join(one for one in sentences if one)


def _compared(beginning: str, others: Rows, figure: str, unit: str) -> str:
    """Returns a sentence with each system's ratio, from the smallest; systems without one are left out."""
    known = {system: row["ratios"][figure] for system, row in others.items()}
    # A simulation has no lines: 0 of our bytes would sound like thrift.
    ordered = sorted((ratio, SYSTEMS[system]) for system, ratio in known.items() if ratio)
    if not ordered:
        return ""
    return f"{beginning}: {_listed([f'{name} {_times(ratio)}' for ratio, name in ordered])} {unit}."


def _times(ratio: float) -> str:
    return f"{ratio:.2f}"


def _dice(ran: Rows) -> str:
    values = {SYSTEMS[system]: row["dice"] for system, row in ran.items()}
    low, high = min(values.values()), max(values.values())
    if high - low < _SAME_DICE:
        return f"Dice on unseen cases is the same within {_SAME_DICE}: {low:.4f} to {high:.4f}."
    return "Dice on unseen cases differs: " + _listed([f"{name} {value:.4f}" for name, value in values.items()]) + "."


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
