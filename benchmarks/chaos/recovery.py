"""How long a run took to be whole again after a fault, by the steps that its processes passed."""

from collections.abc import Sequence
from typing import Any

from benchmarks.chaos.machines import SERVER
from benchmarks.chaos.oracle import Run
from benchmarks.chaos.plan import Fault
from benchmarks.chaos.steps import ASKS, FETCHED, TRAINS
from benchmarks.chaos.trace import Trace, committed_rounds

NEXT_ROUND_LIMIT_S = {"server": 30.0, "site": 20.0}
"""Within which what was restarted has to take part in a round again."""


def restarts(faults: Sequence[dict[str, Any]], machine: str) -> list[dict[str, Any]]:
    """Returns the results of those faults that ended processes: the server's, or else the sites'."""
    whose = (line for line in faults if line["kind"] in ("kill", "power"))
    return [line for line in whose if (line["machine"] == SERVER) == (machine == SERVER)]


def late(faults: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the results of restarts after which the next round began too late."""
    return [
        line
        for machine, limit_s in NEXT_ROUND_LIMIT_S.items()
        for line in restarts(faults, machine)
        if (line.get("next_round_s") or 0.0) > limit_s
    ]


def whole_round_after(trace: Trace, run: Run, moment: float, sites: int) -> float | None:
    """Returns when a round was committed that began after `moment`, with so many sites in it; None if none was."""
    begun = [line["at"] for line in trace.of(ASKS, run.since) if line["at"] > moment]
    if not begun:
        return None
    later = [one.at for one in committed_rounds(trace, run.since) if one.at > begun[0] and len(one.sites) >= sites]
    return later[0] if later else None


def again_after(trace: Trace, fault: Fault, struck_at: float, healed_at: float) -> float | None:
    """Returns the seconds until what was killed takes part in a round again, by another process; None if never."""
    if fault.kind not in ("kill", "power"):
        return None
    server = fault.machine == SERVER
    step = ASKS if server else TRAINS if fault.value == "trainer" else FETCHED
    passed = [line for line in trace.of(step) if line["machine"] == fault.machine]
    before = {line["pid"] for line in passed if line["at"] < struck_at}
    later = [line["at"] - healed_at for line in passed if line["at"] > struck_at and line["pid"] not in before]
    return round(max(0.0, later[0]), 1) if later else None
