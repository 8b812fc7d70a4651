"""The results of a campaign: a line of JSON for each finished fault and job, so that it goes on where it was cut."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.chaos.plan import Fault

Result = dict[str, Any]

NOT_REACHED = "its step was not passed, or the run ended before it was whole again"
"""What is said of a fault that did not strike: nothing that the system under test has done."""


def lines_of(results: Path) -> list[Result]:
    """Returns the results so far."""
    if not results.is_file():
        return []
    return [json.loads(line) for line in results.read_text().splitlines() if line.endswith("}")]


def unfinished(faults: Sequence[Fault], results: Path) -> list[Fault]:
    """Returns the faults without a result."""
    struck = [line for line in lines_of(results) if "kind" in line]
    return [fault for fault in faults if not any(fault.as_json().items() <= line.items() for line in struck)]


def not_reached(fault: Fault) -> Result:
    """Returns the result of a fault that did not strike."""
    told = {"survived": False, "over": False, "violations": [NOT_REACHED], "needed_person": ""}
    return fault.as_json() | {"run": "", "name": fault.name, **told}


def append(results: Path, result: Result) -> None:
    """Appends a result, synced."""
    with results.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(result) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
