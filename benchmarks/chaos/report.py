"""The page that the chaos run writes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.chaos.recovery import NEXT_ROUND_LIMIT_S, late, restarts
from benchmarks.chaos.results import NOT_REACHED
from fedvoxel.records.atomic import write_json, write_text


def write_report(
    lines: Sequence[dict[str, Any]], seed: int, out: Path, guards: Mapping[str, Sequence[dict[str, Any]]]
) -> None:
    """Writes chaos.json and chaos.md.

    Args:
        lines: The results of faults and jobs.
        seed: Of the plan.
        out: Where.
        guards: The results of a job without each guard.
    """
    write_json(out / "chaos.json", {"seed": seed, "results": list(lines), "guards": dict(guards)})
    write_text(out / "chaos.md", page(lines, seed, guards))


def page(
    lines: Sequence[dict[str, Any]], seed: int, guards: Mapping[str, Sequence[dict[str, Any]]] | None = None
) -> str:
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
    if guards:
        said += [
            "",
            "## Without a guard",
            "",
            "Each line is a job whose processes lack one guard. It has to be red.",
            "",
        ]
        said += ["| without | fault | what is seen |", "| --- | --- | --- |"]
        said += [_without(guard, told) for guard, told in guards.items()]
    return "\n".join([*said, ""])


def what_is_seen(lines: Sequence[dict[str, Any]]) -> list[str]:
    """Returns what is wrong with a fault and its job; nothing where all is well, or the fault never struck."""
    struck = [line for line in lines if NOT_REACHED not in line["violations"]]
    seen = [sentence for line in struck for sentence in (*line["violations"], line["needed_person"]) if sentence]
    return seen + ["the run was not whole again" for line in struck if line.get("survived") is False]


def _without(guard: str, lines: Sequence[dict[str, Any]]) -> str:
    name = next((line["name"] for line in lines if "kind" in line), "none")
    seen = what_is_seen(lines)
    more = f" (and {len(seen) - 1} more)" if len(seen) > 1 else ""
    return f"| {guard} | {name} | {f'{seen[0]}{more}' if seen else 'NOTHING'} |"


def _title(fault: dict[str, Any]) -> str:
    return f"kill -9 of {fault['value']}" if fault["kind"] == "kill" else str(fault["kind"])


def _row(title: str, faults: Sequence[dict[str, Any]]) -> str:
    counts = [sum(bool(f[key]) for f in faults) for key in ("survived", "needed_person", "violations")]
    return f"| {title} | {len(faults)} | {counts[0]} | {counts[1]} | {counts[2]} |"


def _recovery(faults: Sequence[dict[str, Any]]) -> list[str]:
    said = [
        "Seconds until what was ended takes part in a round again, by another process. Where the one that takes part",
        "outlived the fault, as a job's process does when its parent is killed, there is nothing to measure.",
        "",
        "| restarted | faults | measured | next round after, median (s) | longest (s) | limit (s) | later than that |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for machine, limit in NEXT_ROUND_LIMIT_S.items():
        whose = restarts(faults, machine)
        seconds = [line["next_round_s"] for line in whose if line.get("next_round_s") is not None]
        figures = f"{median(seconds):.1f} | {max(seconds):.1f}" if seconds else "- | -"
        said.append(f"| {machine} | {len(whose)} | {len(seconds)} | {figures} | {limit:.0f} | {len(late(whose))} |")
    return said
