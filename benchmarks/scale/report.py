"""The report of what the server takes by number of sites: a table, and how flat and how straight the lines are."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]


def markdown(rows: Sequence[Row]) -> str:
    """Returns the report's text."""
    lines = ["# The server's controller by number of sites", "", "`python -m benchmarks.scale`", ""]
    lines += [
        "| parameters | sites | asked | start (MiB) | peak (MiB) | CPU s a round | ms a site asked | outcome (kB) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [f"{row['parameters'] / 1e6:g} M", row["sites"], asked(row), f"{row['start_mib']:.0f}"]
        cells += [
            f"{row['peak_mib']:.0f}",
            f"{row['round_cpu_s']:.2f}",
            f"{1000 * row['round_cpu_s'] / asked(row):.1f}",
        ]
        lines.append("| " + " | ".join(str(cell) for cell in [*cells, f"{row['outcome_bytes'] / 1000:.0f}"]) + " |")
    lines += ["", *_said(rows), "", _EXPLANATION]
    return "\n".join(lines)


def asked(row: Row) -> int:
    """Returns how many sites were asked in each round."""
    return max(2, round(row["sites"] * row["selection"].get("fraction", 1.0)))


def straightness(sites: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """Returns the slope of the least-squares line through seconds by sites, and the share of variance it explains."""
    slope, intercept = np.polyfit(sites, seconds, 1)
    left = np.asarray(seconds) - (slope * np.asarray(sites) + intercept)
    spread = np.asarray(seconds) - np.mean(seconds)
    return float(slope), float(1 - (left @ left) / (spread @ spread))


def _said(rows: Sequence[Row]) -> list[str]:
    said = []
    for parameters in dict.fromkeys(row["parameters"] for row in rows):
        own = [row for row in rows if row["parameters"] == parameters and row["selection"]["name"] == "all"]
        own.sort(key=lambda row: row["sites"])
        if len(own) < 3:
            continue
        first, last = own[0], own[-1]
        slope, explained = straightness([row["sites"] for row in own], [row["round_cpu_s"] for row in own])
        said.append(
            f"- {parameters / 1e6:g} M parameters: peak memory with {last['sites']} sites is "
            f"{last['peak_mib'] / first['peak_mib']:.2f} times that with {first['sites']}; a round takes "
            f"{1000 * slope:.1f} ms of processor time a site (a straight line explains {100 * explained:.1f} % of the "
            "variance)."
        )
    return said


_EXPLANATION = """Real: `FedAvgController`, FLARE's `WFCommServer` that hands out its tasks, vetting, fixed-point sum,
selection, records and files. Simulated: the sites, two threads in the same process that answer at once; their part of
the processor time is one multiplication of the model a reply. Not there: network, TLS and FLARE's job processes, for
which `server_memory.md` has a run of 64 real sites. Peak memory is the kernel's VmHWM of the process. Processor time is
that of the whole process, the median of the rounds. Where only some sites are asked, part of the time is that of the
others asking in vain, far more often than real ones do.
"""
