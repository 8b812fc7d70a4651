"""Says how far the readers of a study agree: on accepting, on the rating, and on the volume after correction.

Only cases that both readers of a pair (or all readers, for volumes) have answered count, and how many these are is
always said. Intervals hold 95 % and are of cases drawn anew, each taken for a patient of its own; what other readers
would say is not in them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.judgement.intervals import Estimate
from fedvoxel.evaluation.reading.correlation import icc_2_1
from fedvoxel.evaluation.reading.kappa import cohen_kappa, weighted_kappa

RATINGS = 5
Verdict = Literal["accept", "correct", "reject"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Opinion:
    """Is what one reader said of one candidate of one case.

    Attributes:
        reader: The reader.
        case: The case's pseudonym.
        candidate: Which label map.
        verdict: accept, correct or reject.
        rating: Acceptability, 1 (unusable) to 5 (perfect).
        volumes_ml: Volume of each structure, after the reader's correction if there was one.
        edit_dice: Dice before and after, of each structure that was there, if it was corrected.
        preferred: Whether it was the better one; None where there was no choice or no difference.
        active_s: Time on the case, with all its candidates.
    """

    reader: str
    case: str
    candidate: str
    verdict: Verdict
    rating: int
    volumes_ml: dict[str, float]
    edit_dice: tuple[float, ...] = ()
    preferred: bool | None = None
    active_s: float = 0.0


class PairAgreement(FrozenModel):
    """Compares two readers on one candidate.

    Attributes:
        readers: Their names.
        candidate: Which label map.
        cases: How many both have answered.
        same_verdict: In how many both accepted or neither did.
        kappa: Cohen's kappa of accepting; None where it is not defined.
        kappa_interval: Its 95 % interval; None with one case.
        weighted_kappa: Cohen's kappa of the rating, quadratic weights; None where it is not defined.
        weighted_kappa_interval: Likewise.
    """

    readers: tuple[str, str]
    candidate: str
    cases: int
    same_verdict: int
    kappa: float | None
    kappa_interval: Interval | None
    weighted_kappa: float | None
    weighted_kappa_interval: Interval | None


class VolumeAgreement(FrozenModel):
    """Compares all readers on the volume of one structure.

    Attributes:
        candidate: Which label map they began with.
        structure: The structure.
        readers: How many.
        cases: How many all of them have answered.
        icc: ICC(2,1); None where it is not defined.
        icc_interval: Its 95 % interval; None with one case.
    """

    candidate: str
    structure: str
    readers: int
    cases: int
    icc: float | None
    icc_interval: Interval | None


class Agreement(FrozenModel):
    """Holds both comparisons; empty with one reader."""

    verdicts: tuple[PairAgreement, ...]
    volumes: tuple[VolumeAgreement, ...]


def agreement_of(opinions: Sequence[Opinion]) -> Agreement:
    """Compares the readers over all candidates."""
    found: dict[str, dict[str, dict[str, Opinion]]] = {}
    for opinion in opinions:
        found.setdefault(opinion.candidate, {}).setdefault(opinion.reader, {})[opinion.case] = opinion
    verdicts = [
        _pair(candidate, pair, readers)
        for candidate, readers in sorted(found.items())
        for pair in combinations(sorted(readers), 2)
        if readers[pair[0]].keys() & readers[pair[1]].keys()
    ]
    volumes = [one for candidate, readers in sorted(found.items()) for one in _volumes(candidate, readers)]
    return Agreement(verdicts=tuple(verdicts), volumes=tuple(volumes))


def _pair(candidate: str, pair: tuple[str, str], readers: dict[str, dict[str, Opinion]]) -> PairAgreement:
    one, other = (readers[name] for name in pair)
    cases = sorted(one.keys() & other.keys())
    accepted = [[answers[case].verdict == "accept" for case in cases] for answers in (one, other)]
    ratings = [[answers[case].rating for case in cases] for answers in (one, other)]
    kappa, weighted = cohen_kappa(*accepted), weighted_kappa(ratings[0], ratings[1], RATINGS)
    return PairAgreement(
        readers=pair,
        candidate=candidate,
        cases=len(cases),
        same_verdict=sum(first == second for first, second in zip(*accepted, strict=True)),
        kappa=kappa.value,
        kappa_interval=_interval(kappa),
        weighted_kappa=weighted.value,
        weighted_kappa_interval=_interval(weighted),
    )


def _volumes(candidate: str, readers: dict[str, dict[str, Opinion]]) -> list[VolumeAgreement]:
    cases = sorted(set.intersection(*(set(answers) for answers in readers.values())))
    if len(readers) < 2 or not cases:
        return []
    names = sorted(readers)
    structures = readers[names[0]][cases[0]].volumes_ml
    icc = {
        structure: icc_2_1([[readers[name][case].volumes_ml[structure] for name in names] for case in cases])
        for structure in structures
    }
    return [
        VolumeAgreement(
            candidate=candidate,
            structure=structure,
            readers=len(names),
            cases=len(cases),
            icc=found.value,
            icc_interval=_interval(found),
        )
        for structure, found in icc.items()
    ]


def _interval(found: Estimate) -> Interval | None:
    return None if found.low is None or found.high is None else (found.low, found.high)
