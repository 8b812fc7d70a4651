"""The page that the chaos run writes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedvoxel.records.atomic import write_json, write_text

NEXT_ROUND_LIMIT_S = {"server": 30.0, "site": 20.0}


def write_report(lines: Sequence[dict[str, Any]], seed: int, out: Path) -> None:
    """Writes chaos.json and chaos.md."""
    write_json(out / "chaos.json", {"seed": seed, "results": list(lines)})
    write_text(out / "chaos.md", page(lines, seed))


def page(lines: Sequence[dict[str, Any]], seed: int) -> str:
    """Returns the page's text."""
    faults = [line for line in lines if "kind" in line]
    jobs = [line for line in lines if "kind" not in line]
    broken = [line for line in lines if line["violations"]]
    persons = [line for line in lines if line["needed_person"]]
    said = [
        "# Chaos: faults on real processes",
        "",
        f"`scripts/benchmark chaos --seed {seed}`; what each fault is and how it is judged: [faults](../faults.md).",
        "",
        f"{len(faults)} faults in {len(jobs)} jobs: {sum(f['survived'] for f in faults)} survived by the run that they "
        f"struck, {len(broken)} faults or jobs with something that must not be, {len(persons)} that needed a person.",
        "",
        "| fault | tried | survived by the run | needed a person | with a violation |",
        "| --- | --- | --- | --- | --- |",
    ]
    said += [_row(kind, [f for f in faults if _title(f) == kind]) for kind in sorted({_title(f) for f in faults})]
    said += ["", "## Recovery", "", *_recovery(faults), "", "## What must not be", ""]
    said += [f"- {line.get('name') or line['run']}: {'; '.join(line['violations'])}" for line in broken] or ["Nothing."]
    said += ["", "## How the jobs ended", "", "| outcome | FLARE says | jobs |", "| --- | --- | --- |"]
    ends = Counter((str(job["outcome"]), job["flare_status"]) for job in jobs)
    said += [f"| {outcome} | {status} | {count} |" for (outcome, status), count in sorted(ends.items())]
    return "\n".join([*said, ""])


def _title(fault: dict[str, Any]) -> str:
    return f"kill -9 of {fault['value']}" if fault["kind"] == "kill" else str(fault["kind"])


def _row(title: str, faults: Sequence[dict[str, Any]]) -> str:
    counts = [sum(bool(f[key]) for f in faults) for key in ("survived", "needed_person", "violations")]
    return f"| {title} | {len(faults)} | {counts[0]} | {counts[1]} | {counts[2]} |"


def _recovery(faults: Sequence[dict[str, Any]]) -> list[str]:
    said = ["| restarted | times | next round after, longest (s) | limit (s) |", "| --- | --- | --- | --- |"]
    for machine, limit in NEXT_ROUND_LIMIT_S.items():
        whose = [
            f for f in faults if f["kind"] in ("kill", "power") and (f["machine"] == "server") == (machine == "server")
        ]
        seconds = [f["next_round_s"] for f in whose if f.get("next_round_s") is not None]
        longest = f"{max(seconds):.1f}" if seconds else "never"
        said.append(f"| {machine} | {len(whose)} | {longest} | {limit:.0f} |")
    return said
