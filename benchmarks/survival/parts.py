"""The four parts of the table, each a command of its own that says in a file what it has found."""

import json
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.chaos.recovery import NEXT_ROUND_LIMIT_S, late, restarts
from benchmarks.chaos.report import what_is_seen
from benchmarks.chaos.sabotage import GUARDS

FAULTS_ASKED, JOBS_ASKED, INPUTS_ASKED = 100, 20, 10_000
SOAK_SITES, SOAK_ROUNDS = 8, 200
STRANGERS = "tests/system/test_strangers.py"


@dataclass(frozen=True)
class Row:
    """Is one line of the table.

    Attributes:
        what: What is asked.
        asked: Its bound, in words.
        seen: What was measured.
        holds: Whether that is within the bound.
    """

    what: str
    asked: str
    seen: str
    holds: bool


@dataclass(frozen=True)
class Part:
    """Is one part.

    Attributes:
        words: Its command, for a folder where its results go.
        fresh: What the command is told besides, to begin anew.
        result: The file in that folder which says what was found.
        page: The page that has all of it.
        rows: Makes lines of the table from that file.
    """

    words: Callable[[Path], Sequence[str]]
    fresh: Sequence[str]
    result: str
    page: str
    rows: Callable[[Path], list[Row]]


def chaos_rows(result: Path) -> list[Row]:
    """Returns the lines about faults, recovery and guards."""
    told = json.loads(result.read_text())
    lines: list[dict[str, Any]] = told["results"]
    faults = [line for line in lines if "kind" in line]
    jobs = [line for line in lines if "kind" not in line]
    broken = [line for line in lines if line["violations"]]
    persons = [line for line in lines if line["needed_person"]]
    lost = [line for line in faults if not line["survived"]]
    seen = [guard for guard in GUARDS if what_is_seen(told["guards"].get(guard, ()))]
    return [
        Row("faults struck", f"{FAULTS_ASKED} at least", str(len(faults)), len(faults) >= FAULTS_ASKED),
        Row("jobs struck", f"{JOBS_ASKED} at least", str(len(jobs)), len(jobs) >= JOBS_ASKED),
        Row(
            "rounds lost; ledgers, logs or signatures that do not verify; untrue outcomes",
            "none",
            str(len(broken)),
            not broken,
        ),
        Row("faults that needed a person", "none", str(len(persons)), not persons),
        Row("faults that ended the run that they struck", "-", str(len(lost)), True),
        *(_recovery(faults, machine, limit_s) for machine, limit_s in NEXT_ROUND_LIMIT_S.items()),
        Row("guards that are missed when taken away", f"all {len(GUARDS)}", str(len(seen)), len(seen) == len(GUARDS)),
    ]


def _recovery(faults: Sequence[dict[str, Any]], machine: str, limit_s: float) -> Row:
    whose = restarts(faults, machine)
    seconds = [line["next_round_s"] for line in whose if line.get("next_round_s") is not None]
    longest = f"{max(seconds):.1f} s at most, {len(seconds)} times" if seconds else "never"
    return Row(f"next round after a {machine}'s restart", f"within {limit_s:.0f} s", longest, not late(whose))


def soak_rows(result: Path) -> list[Row]:
    """Returns the line about what grows."""
    told = json.loads(result.read_text())
    flat = sum(row["flat"] for row in told["rows"])
    whole = (told["sites"], told["rounds"]) == (SOAK_SITES, SOAK_ROUNDS)
    series = f"{flat} of {len(told['rows'])} series flat"
    what = f"memory, file descriptors and disks over {told['rounds']} rounds with {told['sites']} sites"
    return [Row(what, "flat", series, whole and flat == len(told["rows"]))]


def input_rows(result: Path) -> list[Row]:
    """Returns the line about bad inputs."""
    told = json.loads(result.read_text())
    faults = ", ".join(f"{count} {kind}" for kind, count in told["faults"].items())
    holds = told["inputs"] >= INPUTS_ASKED and not any(told["faults"].values())
    return [Row("bad inputs", f"{INPUTS_ASKED} at least, no fault", f"{told['inputs']}: {faults}", holds)]


def stranger_rows(result: Path) -> list[Row]:
    """Returns a line for each stranger that was tried against a real server."""
    rows = []
    for case in ElementTree.parse(result).getroot().iter("testcase"):  # noqa: S314 (pytest wrote it)
        bad = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        name = case.attrib["name"].removeprefix("test_").replace("_", " ")
        rows.append(Row(name, "refused, in the audit", bad[0] if bad else "passed", not bad))
    return rows or [Row("strangers", "refused, in the audit", "none was tried", False)]


PARTS = {
    "faults": Part(
        lambda out: [sys.executable, "-m", "benchmarks.chaos", "--out", str(out)],
        ["--fresh"],
        "chaos.json",
        "chaos.md",
        chaos_rows,
    ),
    "long runs": Part(
        lambda out: [
            sys.executable, "-m", "benchmarks.soak", "--sites", str(SOAK_SITES), "--rounds", str(SOAK_ROUNDS),
            "--out", str(out),
        ],
        [],
        "soak.json",
        "soak.md",
        soak_rows,
    ),
    "bad inputs": Part(
        lambda out: [sys.executable, "-m", "tests.fuzz", "--coverage-guided", "200", "--out", str(out)],
        ["--fresh"],
        "bad_inputs.json",
        "bad_inputs.md",
        input_rows,
    ),
    "strangers": Part(
        lambda out: [sys.executable, "-m", "pytest", "-q", STRANGERS, f"--junitxml={out / 'strangers.xml'}"],
        [],
        "strangers.xml",
        f"../../{STRANGERS}",
        stranger_rows,
    ),
}  # fmt: skip

ENVIRONMENT = {"PYTHONPATH": f"{ROOT / 'app_custom'}:{ROOT}", "OMP_NUM_THREADS": "1"}
"""Of the parts' commands."""
