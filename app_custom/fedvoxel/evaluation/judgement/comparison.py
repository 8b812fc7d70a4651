"""Compares a model, case by case, with an earlier one or with a second reader, both scored against the same truth.

Non-inferior means: with 95 % confidence the mean difference is not below minus the margin, for every structure. Each
structure is tested at the full level, as all of them must pass. The p-value is of Wilcoxon's signed rank test on
patients' mean differences and is not adjusted for several structures.

Source: Piaggio et al., "Reporting of noninferiority and equivalence randomized trials" (CONSORT extension), JAMA 308,
2012; Berger, "Multiparameter hypothesis testing", Technometrics 24, 1982 (intersection-union tests).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.judgement.case_result import CaseResult
from fedvoxel.evaluation.judgement.division import Kind, divide, in_order, people_of
from fedvoxel.evaluation.judgement.intervals import Estimate, mean_of
from fedvoxel.evaluation.judgement.structure_score import StructureScore

Metric = Literal["dice", "nsd"]
Verdict = Literal["better", "worse", "not told apart"]
NOTABLE = 0.05
"""A fall by more, in a patient, is counted where no margin says what matters."""

IMPLEMENTATION = "scipy.stats.wilcoxon on patients' means, two-sided, zero differences left out"


class Difference(FrozenModel):
    """Is the model's mean score minus the other's, in all cases or in a subgroup.

    Attributes:
        structure: Which.
        kind: Of which kind the subgroup is; None for all cases.
        group: Its name; None for all cases.
        difference: With its interval.
        verdict: "better" or "worse" where the interval is wholly on one side of zero.
        worse_patients: In how many patients the score fell by more than the margin, or than 0.05 without one.
    """

    structure: str
    kind: Kind | None = None
    group: str | None = None
    difference: Estimate
    verdict: Verdict
    worse_patients: int


class Paired(FrozenModel):
    """Is the comparison of one structure over all cases.

    Attributes:
        whole: The difference.
        other: The other's mean score.
        wilcoxon_p: None with fewer than two patients.
        non_inferior: Whether the interval lies above minus the margin; None without a margin.
    """

    whole: Difference
    other: Estimate
    wilcoxon_p: float | None
    non_inferior: bool | None


class Comparison(FrozenModel):
    """Is the comparison with another.

    Attributes:
        kind: Whether the other is a model or a reader.
        name: Who it is.
        package_sha256: The other package's identity; None for a reader, and in what was written before version 2.
        metric: What is compared.
        margin: How much worse would still be good enough; None if nobody said so before.
        stated_at: When that was said (UTC).
        tests: One for each structure.
        groups: Differences in subgroups.
    """

    kind: Literal["model", "reader"]
    name: str
    package_sha256: str | None = None
    metric: Metric
    margin: float | None
    stated_at: str | None
    tests: tuple[Paired, ...]
    groups: tuple[Difference, ...]

    @property
    def non_inferior(self) -> bool | None:
        """Returns whether all structures are; None without a margin."""
        return None if self.margin is None else all(test.non_inferior for test in self.tests)


def compare_structure(
    name: str, cases: Sequence[CaseResult], metric: Metric, margin: float | None, minimum: int
) -> tuple[Paired, tuple[Difference, ...]]:
    """Compares a structure in all cases and in every subgroup of at least `minimum` patients."""
    pairs = [case for case in cases if _counts(case, name)]
    whole = _difference(name, pairs, metric, margin)
    low = whole.difference.low
    test = Paired(
        whole=whole,
        other=mean_of([_other(case, name, metric) for case in pairs], [case.person for case in pairs]),
        wilcoxon_p=_wilcoxon(_by_patient(name, pairs, metric)),
        non_inferior=None if margin is None else low is not None and low > -margin,
    )
    rows = []
    for kind, place in divide(people_of(pairs), minimum).items():
        for group in in_order(place):
            inside = [case for case in pairs if place[case.person] == group]
            found = _difference(name, inside, metric, margin)
            rows.append(found.model_copy(update={"kind": kind, "group": group}))
    return test, tuple(rows)


def _counts(case: CaseResult, name: str) -> bool:
    other = case.other
    return other is not None and not (case.scores[name].finding == other[name].finding == "absent")


def _value(score: StructureScore, metric: Metric, failure: str | None) -> float:
    """Returns a score; that of one who rightly finds nothing is 1, beside one who finds what is not there.

    A model that fails is not right where nothing is: that gives 0.
    """
    if failure is not None:
        return 0.0
    value = score.dice if metric == "dice" else score.nsd
    return 1.0 if value is None else value


def _other(case: CaseResult, name: str, metric: Metric) -> float:
    return _value(case.other[name], metric, case.other_failure) if case.other is not None else float("nan")


def _change(case: CaseResult, name: str, metric: Metric) -> float:
    return _value(case.scores[name], metric, case.failure) - _other(case, name, metric)


def _by_patient(name: str, cases: Sequence[CaseResult], metric: Metric) -> list[float]:
    changes: dict[str, list[float]] = {}
    for case in cases:
        changes.setdefault(case.person, []).append(_change(case, name, metric))
    return [float(np.mean(values)) for values in changes.values()]


def _difference(name: str, cases: Sequence[CaseResult], metric: Metric, margin: float | None) -> Difference:
    found = mean_of([_change(case, name, metric) for case in cases], [case.person for case in cases])
    fallen = [
        change for change in _by_patient(name, cases, metric) if change < -(NOTABLE if margin is None else margin)
    ]
    return Difference(structure=name, difference=found, verdict=_verdict(found), worse_patients=len(fallen))


def _verdict(found: Estimate) -> Verdict:
    if found.low is not None and found.low > 0:
        return "better"
    if found.high is not None and found.high < 0:
        return "worse"
    return "not told apart"


def _wilcoxon(changes: Sequence[float]) -> float | None:
    from scipy import stats

    if len(changes) < 2:
        return None
    if not any(changes):
        return 1.0
    return float(stats.wilcoxon(changes).pvalue)
