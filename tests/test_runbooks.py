"""Every kind of incident has a runbook, and every step of one is rehearsed by a test that exists."""

import re
from typing import get_args

from fedvoxel.governance.incidents.statement import IncidentKind
from tests.test_threat_model import ROOT, missing_in

PAGE = (ROOT / "docs" / "incidents.md").read_text()


def steps(page: str) -> list[list[str]]:
    """Returns what each row of a runbook says, and what it names."""
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| ") and "tests/" in line]
    return [[row[0].strip(), row[-1].strip()] for row in rows]


def test_every_kind_has_a_runbook() -> None:
    assert re.findall(r"^### (\w+):", PAGE, re.MULTILINE) == list(get_args(IncidentKind))


def test_every_step_is_rehearsed_by_a_test_that_exists() -> None:
    tables = re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]
    assert all(len(steps(table)) >= 2 for table in tables)
    assert [missing for row in steps(PAGE) for missing in missing_in(row)] == []
    assert missing_in(["a step", "`tests/cli/test_nothing.py`"])
