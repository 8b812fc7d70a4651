"""Every row of the threat model points at a test that exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "threat-model.md"


def rows_of(page: str) -> list[list[str]]:
    """Returns the cells of each row of the tables that have a column `test`."""
    rows, place = [], None
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            place = None
        elif "test" in cells:
            place = cells.index("test")
        elif place is not None and not set(line) <= set("|- "):
            rows.append([cells[0], cells[place]])
    return rows


def missing_in(row: list[str]) -> list[str]:
    """Returns what a row points at and is not there; the row itself where it points at nothing."""
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row[1])
    return ["::".join(filter(None, (path, test))) for path, test in named if not _is_there(ROOT / path, test)] or (
        [] if named else [row[0]]
    )


def _is_there(path: Path, test: str) -> bool:
    if not path.is_file():
        return False
    tests = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
    return test in tests if test else any(name.startswith("test_") for name in tests)


def test_every_row_points_at_tests_that_exist() -> None:
    rows = rows_of(PAGE.read_text())
    assert len(rows) >= 35
    assert [missing for row in rows for missing in missing_in(row)] == []


@pytest.mark.parametrize("what", ["approvals", "submission_changes", "code_scan", "audit_check", "countersigning"])
def test_approval_and_the_audit_log_have_rows(what: str) -> None:
    assert any(f"tests/governance/test_{what}.py" in row[1] for row in rows_of(PAGE.read_text()))


def test_every_adversary_has_a_table() -> None:
    page = PAGE.read_text()
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert {"A curious server", "A malicious site", "An insider at a hospital", "Supply chain"} <= set(headings)
    assert all(row.count("|") >= 5 for row in page.splitlines() if row.startswith("| to "))


@pytest.mark.parametrize(
    "cell", ["", "`tests/no_such.py`", "`tests/test_house.py::test_that_is_not_there`", "tests/test_house.py"]
)
def test_a_row_without_a_test_is_found(cell: str) -> None:
    (row,) = rows_of(f"| it tries | control | test | left |\n| --- | --- | --- | --- |\n| x | y | {cell} | z |\n")
    assert missing_in(row)
