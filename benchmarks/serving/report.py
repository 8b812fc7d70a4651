"""Says in a table what asking over the network costs, and on which side of the target it is."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.overhead.machine import QUIET
from benchmarks.parts import Values
from benchmarks.serving.systems import COPY, GRPC, IN_PROCESS, PLAIN, REST

OVERHEAD_TARGET_MS = 10.0
_EXPLANATION = """
All systems use the same network on the same image and threads, in turn, in one run. *ONNX Runtime* scales the image,
calls the network once and takes the larger output. *In this process* is what the server does with a request: checks,
sliding window, softmax, label on the image's grid, volumes. *REST* and *gRPC* ask a `fedvoxel serve` of its own process
for the label, with tensors as bytes. *Copy* sends as many bytes to another process and back. Overhead is the median of
a served request less the medians of the same work in this process and of the copy. Requests per second are of
several clients at a time.
"""


def rows_of(answers: Mapping[int, Mapping[str, Sequence[Values]]]) -> list[Values]:
    """Returns a row for each side and system: median latency, requests per second, both beside ONNX Runtime's."""
    rows = []
    for side, systems in answers.items():
        latency = {name: 1000 * median(one["latency_s"] for one in found) for name, found in systems.items()}
        rate = {name: median(one["requests_s"] for one in found) for name, found in systems.items()}
        for name in systems:
            row = {"side": side, "system": name, "latency_ms": latency[name], "requests_s": rate[name]}
            if name != COPY:
                row |= {"times_latency": latency[name] / latency[PLAIN], "times_requests": rate[name] / rate[PLAIN]}
            if name in (REST, GRPC):
                row["overhead_ms"] = latency[name] - latency[IN_PROCESS] - latency[COPY]
            rows.append(row)
    return rows


def verdicts(rows: Sequence[Values]) -> list[str]:
    """Returns a sentence for each side."""
    said = []
    for side in dict.fromkeys(row["side"] for row in rows):
        found = {row["system"]: row for row in rows if row["side"] == side}
        parts = []
        for name in (REST, GRPC):
            overhead = found[name]["overhead_ms"]
            reached = "within" if overhead < OVERHEAD_TARGET_MS else "above"
            parts.append(f"{name} costs {overhead:.1f} ms beyond the copy, {reached} {OVERHEAD_TARGET_MS:g} ms")
        said.append(f"{side}³ voxels: {'; '.join(parts)}; the copy alone takes {found[COPY]['latency_ms']:.1f} ms.\n")
    return said


def markdown(rows: Sequence[Values], conditions: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    """Returns the report's text."""
    lines = ["# Asking a model over the network", "", "`python -m benchmarks.serving`", ""]
    lines += [
        f"{conditions['network']}, {conditions['repeats']} turns of {conditions['requests']} requests by one client "
        f"and by {conditions['clients']}, {conditions['threads']} threads; medians.",
        "",
    ]
    lines += ["| voxels | system | ms | times ONNX Runtime's | requests/s | times ONNX Runtime's | overhead ms |"]
    lines += ["|---" * 7 + "|"]
    lines += [_line(row) for row in rows]
    lines += ["", *verdicts(rows), _EXPLANATION]
    quiet = "the machine was quiet" if conditions["others"] <= QUIET else "measure again on a quiet machine"
    lines += [f"Other programs used up to {conditions['others']:.2f} of a core during a run: {quiet}.", ""]
    lines += ["Machine: " + ", ".join(f"{name} {value}" for name, value in machine.items()) + ".", ""]
    return "\n".join(lines)


def _line(row: Values) -> str:
    def number(key: str, digits: int) -> str:
        return f"{row[key]:.{digits}f}" if key in row else ""

    cells = (
        f"{row['side']}³",
        row["system"],
        number("latency_ms", 1),
        number("times_latency", 2),
        number("requests_s", 2),
        number("times_requests", 2),
        number("overhead_ms", 1),
    )
    return f"| {' | '.join(cells)} |"
