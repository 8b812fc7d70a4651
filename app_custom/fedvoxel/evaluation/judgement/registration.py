"""Keeps what was said before a comparison: the margin stands once its first result is known.

A margin that is chosen when the result is known proves nothing. What is compared with what, by which metric and margin,
is written into a hash chain before anything is predicted, and that there is a result before anybody sees it. What this
cannot see: results that were looked at by other means.
"""

from pathlib import Path
from typing import Any, Literal

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError
from fedvoxel.records.canonical import sha256_of
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import Entry

FOLDER, FILE = "evaluation", "stated.jsonl"


class Question(FrozenModel):
    """Says what is compared.

    Attributes:
        package: SHA-256 of the package that is judged.
        other: SHA-256 of the other package, or the second reader.
        cohort: The cohort.
        split: Which patients; None for all.
        hospitals: Where.
    """

    package: str
    other: str
    cohort: str
    split: str | None
    hospitals: tuple[str, ...]


class Plan(FrozenModel):
    """Says by what a comparison is decided; a margin of None decides nothing."""

    metric: Literal["dice", "nsd"]
    margin: float | None
    tolerance_mm: float


def state_plan(folder: Path, question: Question, plan: Plan) -> str | None:
    """Writes down a plan, or finds it written, and returns when it was stated; None where it has no margin.

    Args:
        folder: A folder of its own.
        question: What is compared.
        plan: How.

    Raises:
        ConfigError: There is a result already, and the plan that stood then was another.
        LedgerError: The record cannot be read, trusted or written.
    """
    key, body = sha256_of(question.model_dump()), plan.model_dump()
    with Chain(folder / FILE).writing() as chain:
        own = [entry for entry in chain.entries if entry.body.get("question") == key]
        stated = next((entry for entry in reversed(own) if "plan" in entry.body), None)
        if stated is not None and stated.body["plan"] == body:
            return _moment(stated, plan)
        if stated is not None and any(entry.body.get("result") for entry in own):
            raise ConfigError(_too_late(stated, plan))
        named = {"question": key, "of": question.model_dump(mode="json"), "plan": body}
        return _moment(chain.append(named), plan)


def note_result(folder: Path, question: Question) -> None:
    """Writes down that there is a result, before anybody sees it.

    Raises:
        LedgerError: The record cannot be read, trusted or written.
    """
    key = sha256_of(question.model_dump())
    with Chain(folder / FILE).writing() as chain:
        if not any(entry.body.get("question") == key and entry.body.get("result") for entry in chain.entries):
            chain.append({"question": key, "result": True})


def _moment(entry: Entry, plan: Plan) -> str | None:
    return entry.at if plan.margin is not None else None


def _too_late(stated: Entry, plan: Plan) -> str:
    before: dict[str, Any] = stated.body["plan"]
    return (
        f"this comparison has a result already, under {_words(before)}, stated at {stated.at}; {_words(plan.model_dump())} "
        "would be chosen after it. Ask for what was stated, or judge new cases"
    )


def _words(plan: dict[str, Any]) -> str:
    margin = "no margin" if plan["margin"] is None else f"a margin of {plan['margin']:g}"
    return f"{margin} for {plan['metric']} at a tolerance of {plan['tolerance_mm']:g} mm"
