"""Keeps what a hospital has told of its patients, so that no two answers together tell of a few of them.

Two means over groups that differ in one patient tell of that patient. So a hospital keeps, under its own state folder,
of whom each answer was, by pseudonym, and of whom each number in it, and tells nothing new from which a sum over fewer
patients than the minimum could be computed, whoever asked. What a package is worth on the very same patients is told
once: later the same answer is given again, also after a label was corrected. What this cannot see: answers that left by
another door, one patient under two names, and numbers of two packages, which are alike and not the same.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
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
        named_under: Tells the site's pseudonym key, under which they are named, from another.
        patients: On whom, by pseudonym, sorted; this never leaves.
        parts: Of whom each number is, by its name; likewise.
        aggregate: Everything that could be told, whatever was asked for.
    """

    schema_version: Literal[1] = 1
    package: Sha256
    named_under: str
    patients: tuple[str, ...]
    parts: dict[str, tuple[str, ...]]
    aggregate: Aggregate


@dataclass(frozen=True)
class Judged:
    """Is what came of a judgement, and of whom; the latter stays here.

    Attributes:
        package: What was judged.
        named_under: See `Told`.
        patients: On whom, by pseudonym.
        parts: See `aggregating.people_behind`.
        aggregate: Everything that could be told.
    """

    package: str
    named_under: str
    patients: Set[str]
    parts: Mapping[str, Set[str]]
    aggregate: Aggregate


def settle(state: Path, judged: Judged, minimum: int) -> Aggregate:
    """Returns what is told, having kept it: what was told of this package and these patients before, or what is new.

    Args:
        state: The kit's `state/` folder.
        judged: What came of the judgement.
        minimum: The hospital's least number of patients, as it is now.

    Raises:
        CohortError: With what was told before it would tell of a few patients, or it was made under a lower minimum.
        LedgerError: The record cannot be trusted or written.
    """
    with Chain(state / FOLDER / FILE).writing() as chain:
        before = [_told(entry) for entry in chain.entries]
        if any(one.named_under != judged.named_under for one in before):
            raise CohortError(
                "the site's pseudonym key is another than when it told something before, so nobody can say whether "
                "this would tell of a few patients: put the former key back, or answer no more requests of this kind"
            )
        same = next((one for one in before if _is_same(one, judged)), None)
        told = same.aggregate if same else judged.aggregate
        if told.minimum_patients < minimum:
            raise CohortError(f"this may hold numbers of {told.minimum_patients} patients; {minimum} are the least now")
        if same is None:
            _check_together(before, judged, minimum)
            chain.append(_kept(judged).model_dump(mode="json"))
    return told


def _is_same(one: Told, judged: Judged) -> bool:
    return one.package == judged.package and set(one.patients) == judged.patients


def _check_together(before: Sequence[Told], judged: Judged, minimum: int) -> None:
    if _few([one.patients for one in before], judged.patients, minimum):
        raise CohortError(
            "with what this site has told before, this would tell of a few patients: the cohort, or the patients "
            "that could be judged, differ from those of an earlier answer by too few"
        )
    for name, people in judged.parts.items():
        earlier = [one.parts[name] for one in before if one.package == judged.package and name in one.parts]
        if _few(earlier, people, minimum):
            raise CohortError(
                f"with what this site has told before, this would tell of a few patients ({name}): those who have the "
                "structure differ from those of an earlier answer by too few"
            )


def _few(earlier: Iterable[Iterable[str]], people: Set[str], minimum: int) -> bool:
    sets = {frozenset(one) for one in (*earlier, people)} - {frozenset()}
    return len(sets) > 1 and sets_tell_of_few(list(sets), minimum)


def _kept(judged: Judged) -> Told:
    return Told(
        package=judged.package,
        named_under=judged.named_under,
        patients=tuple(sorted(judged.patients)),
        parts={name: tuple(sorted(people)) for name, people in judged.parts.items()},
        aggregate=judged.aggregate,
    )


def _told(entry: Entry) -> Told:
    try:
        return parse_config(Told, entry.body, "what was told")
    except ConfigError:
        raise LedgerError(f"line {entry.index + 1} of what was told is none of this version; update fedvoxel") from None
