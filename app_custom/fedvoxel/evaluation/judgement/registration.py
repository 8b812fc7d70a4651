"""Keeps what was said before a comparison: the margin stands once its first result is known.

A margin that is chosen when the result is known proves nothing. What is compared with what, by which metric and margin,
is written into a hash chain before anything is predicted, and that there is a result before anybody sees it. What this
cannot see: results that were looked at by other means.
"""

from pathlib import Path
from typing import Literal

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.records.canonical import sha256_of
from fedvoxel.records.chain import Chain

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
    """Says by what a comparison is decided.

    Attributes:
        metric: What is compared.
        margin: How much worse is still good enough; None decides nothing.
        tolerance_mm: That of NSD; None for Dice, which has none.
    """

    metric: Literal["dice", "nsd"]
    margin: float | None
    tolerance_mm: float | None = None

    def __str__(self) -> str:
        margin = "no margin" if self.margin is None else f"a margin of {self.margin:g}"
        at = "" if self.tolerance_mm is None else f" at a tolerance of {self.tolerance_mm:g} mm"
        return f"{margin} for {self.metric}{at}"


class Stated(FrozenModel):
    """Is the plan that holds, and when it was stated (UTC)."""

    plan: Plan
    at: str


def state_plan(folder: Path, question: Question, plan: Plan) -> Stated:
    """Writes a plan down, or finds one written, and returns the one that holds.

    Who asks again without a margin is answered under the plan that was stated.

    Args:
        folder: A folder of its own.
        question: What is compared.
        plan: How.

    Raises:
        ConfigError: There is a result already, and another plan was stated before it.
        LedgerError: The record cannot be read, trusted or written.
    """
    key = sha256_of(question.model_dump())
    with Chain(folder / FILE).writing() as chain:
        own = [entry for entry in chain.entries if entry.body.get("question") == key]
        entry = next((entry for entry in reversed(own) if "plan" in entry.body), None)
        if entry is not None:
            stated = Stated(plan=parse_config(Plan, entry.body["plan"], "the stated plan"), at=entry.at)
            if plan == stated.plan or (plan.margin is None and plan.metric == stated.plan.metric):
                return stated
            if any(entry.body.get("result") for entry in own):
                raise ConfigError(
                    f"this comparison has a result already, under {stated.plan}, stated at {stated.at}; {plan} would "
                    "be chosen after it. Ask for what was stated, or judge new cases"
                )
        body = {"question": key, "of": question.model_dump(mode="json"), "plan": plan.model_dump()}
        return Stated(plan=plan, at=chain.append(body).at)


def note_result(folder: Path, question: Question) -> None:
    """Writes down that there is a result, before anybody sees it.

    Raises:
        LedgerError: The record cannot be read, trusted or written.
    """
    key = sha256_of(question.model_dump())
    with Chain(folder / FILE).writing() as chain:
        if not any(entry.body.get("question") == key and entry.body.get("result") for entry in chain.entries):
            chain.append({"question": key, "result": True})
