"""Keeps what a hospital has told of its patients, so that no two answers together tell of a few of them.

Two means over groups that differ in one patient tell of that patient. So a hospital keeps, under its own state folder,
of whom each answer was, by pseudonym, and tells nothing new from which a sum over fewer patients than the minimum
could be computed, whoever asked. What a package is worth on the very same patients is told once: later the same answer
is given again, also after a label was corrected. What this cannot see: answers that left by another door.
"""

from collections.abc import Set
from pathlib import Path
from typing import Literal

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import CohortError, ConfigError, LedgerError
from fedvoxel.evaluation.judgement.aggregate import Aggregate
from fedvoxel.evaluation.judgement.division import sets_tell_of_few
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import Entry
from fedvoxel.records.names import Sha256

FOLDER, FILE = "evaluations_told", "told.jsonl"


class Told(FrozenModel):
    """Is one answer.

    Attributes:
        package: What was judged.
        patients: On whom, by pseudonym, sorted; this never leaves.
        aggregate: Everything that could be told, whatever was asked for.
    """

    schema_version: Literal[1] = 1
    package: Sha256
    patients: tuple[str, ...]
    aggregate: Aggregate


def settle(state: Path, package: str, patients: Set[str], aggregate: Aggregate) -> Aggregate:
    """Returns what is told, having kept it: what was told of this package and these patients before, or `aggregate`.

    Args:
        state: The kit's `state/` folder.
        package: What was judged.
        patients: On whom, by pseudonym.
        aggregate: What came of it.

    Raises:
        CohortError: With what was told before it would tell of a few patients.
        LedgerError: The record cannot be trusted or written.
    """
    with Chain(state / FOLDER / FILE).writing() as chain:
        before = [_told(entry) for entry in chain.entries]
        for one in before:
            if one.package == package and set(one.patients) == patients:
                return one.aggregate
        if sets_tell_of_few([*{frozenset(one.patients) for one in before}, patients], aggregate.minimum_patients):
            raise CohortError(
                "with what this site has told before, this would tell of a few patients: the cohort, or the patients "
                "that could be judged, differ from those of an earlier answer by too few"
            )
        said = Told(package=package, patients=tuple(sorted(patients)), aggregate=aggregate)
        chain.append(said.model_dump(mode="json"))
    return aggregate


def _told(entry: Entry) -> Told:
    try:
        return parse_config(Told, entry.body, "what was told")
    except ConfigError:
        raise LedgerError(f"line {entry.index + 1} of what was told is none of this version; update fedvoxel") from None
