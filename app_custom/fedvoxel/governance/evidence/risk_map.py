"""The 72 subcategories of NIST's AI RMF 1.0, each with the artefacts that support it. Evidence for, never compliance.

A subcategory that asks for something only a person can say is evidenced once that was answered, and "human input
needed" until then, whatever artefacts there are. Any other is evidenced by an artefact that was verified, and by
nothing else.
Which artefact supports what, and why, stands in `nist_ai_rmf_support.json`; the statements are NIST's own.
"""

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from fedvoxel.config import FrozenModel
from fedvoxel.governance.evidence.artefact import Entry
from fedvoxel.records.names import Sha256

Status = Literal["evidenced", "human input needed", "not evidenced"]

ANSWER = "answer:"
"""What stands before the name of an answered field in what the form shows."""


class Support(FrozenModel):
    """Is an artefact that supports a subcategory.

    Attributes:
        because: Why it does.
    """

    kind: str
    site: str
    sha256: Sha256
    because: str


class Cell(FrozenModel):
    """Is one subcategory.

    Attributes:
        by: Artefacts that were verified.
        found_unverified: Kinds of artefacts that would support it and are not verified; they do not count.
        asks: Fields of the form that it needs.
        unanswered: Those that are blank.
    """

    id: str
    statement: str
    status: Status
    by: tuple[Support, ...]
    found_unverified: tuple[str, ...]
    asks: tuple[str, ...]
    unanswered: tuple[str, ...]


class Coverage(FrozenModel):
    """Counts the subcategories.

    Attributes:
        subcategories: All.
        evidenced_by_artefacts: Evidenced, with at least one verified artefact.
        evidenced_by_statement_only: Evidenced by what a person has stated alone, which nobody has checked.
    """

    subcategories: int
    evidenced: int
    evidenced_by_artefacts: int
    evidenced_by_statement_only: int
    human_input_needed: int
    not_evidenced: int


class RiskMap(FrozenModel):
    """Is the content of `nist_ai_rmf.json`."""

    schema_version: Literal[1] = 1
    framework: str
    source: str
    note: str = (
        "Evidence for these subcategories, as far as it was found. It is no statement of conformity: whether an "
        "outcome is achieved is for people to judge."
    )
    coverage: Coverage
    subcategories: tuple[Cell, ...]


def risk_map(entries: Sequence[Entry]) -> RiskMap:
    """Returns the map that an inventory's entries give."""
    catalogue, support = _data("nist_ai_rmf_1_0.json"), _data("nist_ai_rmf_support.json")
    answered = {shown.removeprefix(ANSWER) for one in entries for shown in one.shows if shown.startswith(ANSWER)}
    cells = tuple(
        _cell(identifier, statement, (entries, answered), support)
        for identifier, statement in catalogue["subcategories"].items()
    )
    said = {"framework": catalogue["framework"], "source": catalogue["source"]}
    return RiskMap(**said, coverage=_coverage(cells), subcategories=cells)


def _cell(identifier: str, statement: str, known: tuple[Sequence[Entry], set[str]], support: dict[str, Any]) -> Cell:
    entries, answered = known
    reasons = {shown: why[identifier] for shown, why in support["supports"].items() if identifier in why}
    fitting = [(one, reasons[shown]) for one in entries for shown in one.shows if shown in reasons]
    by = [
        Support(kind=one.kind, site=one.site, sha256=one.sha256, because=why)
        for one, why in fitting
        if one.check == "verified" and one.sha256
    ]
    asks = tuple(support["asks"].get(identifier, ()))
    unanswered = tuple(field for field in asks if field not in answered)
    status: Status = "evidenced" if by or asks else "not evidenced"
    return Cell(
        id=identifier,
        statement=statement,
        status="human input needed" if unanswered else status,
        by=tuple(by),
        found_unverified=tuple(sorted({one.kind for one, _ in fitting if one.check == "unverified"})),
        asks=asks,
        unanswered=unanswered,
    )


def _coverage(cells: Sequence[Cell]) -> Coverage:
    evidenced = [cell for cell in cells if cell.status == "evidenced"]
    by_artefacts = sum(1 for cell in evidenced if cell.by)
    return Coverage(
        subcategories=len(cells),
        evidenced=len(evidenced),
        evidenced_by_artefacts=by_artefacts,
        evidenced_by_statement_only=len(evidenced) - by_artefacts,
        human_input_needed=sum(1 for cell in cells if cell.status == "human input needed"),
        not_evidenced=sum(1 for cell in cells if cell.status == "not evidenced"),
    )


@cache
def _data(name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((files(__package__) / name).read_text(encoding="utf-8"))
    return values
