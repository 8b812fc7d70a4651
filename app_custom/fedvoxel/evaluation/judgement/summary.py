"""Sums up the scores of one structure over cases: means with intervals, volumes, pieces, calibration."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.judgement.agreement import VolumeAgreement, agreement_of
from fedvoxel.evaluation.judgement.case_result import CaseResult
from fedvoxel.evaluation.judgement.confidence import BINS
from fedvoxel.evaluation.judgement.division import Kind, divide, in_order, people_of
from fedvoxel.evaluation.judgement.intervals import Estimate, Numbers, estimate, mean_of, ratio_of
from fedvoxel.evaluation.judgement.structure_score import StructureScore


class Counts(FrozenModel):
    """Says in how many cases a structure is there and was found.

    Attributes:
        found: In truth and prediction.
        misplaced: In both, but they share less than a tenth of their union.
        missed: In the truth alone; these have the worst scores.
        false_alarms: In the prediction alone; likewise.
        absent: In neither; these have no score.
        patients: Whose cases have a score.
    """

    found: int
    misplaced: int
    missed: int
    false_alarms: int
    absent: int
    patients: int

    @property
    def scored(self) -> int:
        """Returns the number of cases with a score."""
        return self.there + self.false_alarms

    @property
    def there(self) -> int:
        """Returns the number of cases that have it."""
        return self.found + self.misplaced + self.missed


class Bin(FrozenModel):
    """Is a range of probability: what the model said there on average, and how often it was so."""

    low: float
    high: float
    voxels: int
    said: float
    true: float


class Calibration(FrozenModel):
    """Says whether the model is right as often as it says; see `confidence`.

    Attributes:
        ece: Expected calibration error in the band, 0 is best.
        brier: Mean squared difference in the band, 0 is best.
        overlooked: Share of the truth's voxels that the model gives no more than the band's edge.
        bins: Those that hold voxels.
    """

    ece: Estimate
    brier: Estimate
    overlooked: Estimate
    bins: tuple[Bin, ...]


class Pieces(FrozenModel):
    """Says how many lesions, or other pieces, were found.

    Attributes:
        truth: In the truth of all cases.
        sensitivity: Share of these that was found.
        false_per_case: Of the model's, which are none.
    """

    truth: int
    sensitivity: Estimate
    false_per_case: Estimate


class StructureResult(FrozenModel):
    """Is what is known of one structure.

    Attributes:
        name: The model's class.
        label: What a person reads.
        dice: Mean over cases with a score.
        nsd: Likewise.
        hd95_mm: Likewise.
        hd95_median_mm: Its median, which a few failures do not move.
        volume_error_ml: Mean size of predicted minus true volume.
        volume_error_percent: The same, of the true volume, where there is one.
        volume: How the differences spread; None with too few patients.
    """

    name: str
    label: str
    counts: Counts
    dice: Estimate
    nsd: Estimate
    hd95_mm: Estimate
    hd95_median_mm: float | None
    volume_error_ml: Estimate
    volume_error_percent: Estimate
    volume: VolumeAgreement | None
    calibration: Calibration
    pieces: Pieces | None


class GroupRow(FrozenModel):
    """Is one structure in one subgroup."""

    kind: Kind
    structure: str
    name: str
    missed: int
    dice: Estimate
    nsd: Estimate
    hd95_mm: Estimate


def structure_result(name: str, label: str, cases: Sequence[CaseResult]) -> StructureResult:
    """Sums up a structure over all cases."""
    scored = scored_cases(cases, name)
    scores = [case.scores[name] for case in scored]
    far = [score.hd95_mm for score in scores if score.hd95_mm is not None]
    true = [case for case in scored if case.scores[name].truth_ml > 0]
    return StructureResult(
        name=name,
        label=label,
        counts=_counts(name, cases),
        dice=_mean(scored, lambda case: case.scores[name].dice),
        nsd=_mean(scored, lambda case: case.scores[name].nsd),
        hd95_mm=_mean(scored, lambda case: case.scores[name].hd95_mm),
        hd95_median_mm=float(np.median(far)) if far else None,
        volume_error_ml=_mean(scored, lambda case: _error_ml(case.scores[name])),
        volume_error_percent=_mean(true, lambda case: 100 * _error_ml(case.scores[name]) / case.scores[name].truth_ml),
        volume=agreement_of(
            [score.predicted_ml for score in scores],
            [score.truth_ml for score in scores],
            [case.person for case in scored],
        ),
        calibration=_calibration(name, cases),
        pieces=_pieces(name, cases),
    )


def group_rows(name: str, cases: Sequence[CaseResult], minimum: int) -> tuple[GroupRow, ...]:
    """Returns a structure's scores in every subgroup of at least `minimum` patients; see `division`."""
    scored = scored_cases(cases, name)
    rows = []
    for kind, place in divide(people_of(scored), minimum).items():
        for group in in_order(place):
            inside = [case for case in scored if place[case.person] == group]
            rows.append(
                GroupRow(
                    kind=kind,
                    structure=name,
                    name=group,
                    missed=sum(case.scores[name].finding == "missed" for case in inside),
                    dice=_mean(inside, lambda case: case.scores[name].dice),
                    nsd=_mean(inside, lambda case: case.scores[name].nsd),
                    hd95_mm=_mean(inside, lambda case: case.scores[name].hd95_mm),
                )
            )
    return tuple(rows)


def scored_cases(cases: Sequence[CaseResult], name: str) -> list[CaseResult]:
    """Returns the cases in which a structure is in truth or prediction."""
    return [case for case in cases if case.scores[name].finding != "absent"]


def _mean(cases: Sequence[CaseResult], value: Callable[[CaseResult], float | None]) -> Estimate:
    values = [(number, case.person) for case in cases if (number := value(case)) is not None]
    return mean_of([number for number, _ in values], [person for _, person in values])


def _error_ml(score: StructureScore) -> float:
    return abs(score.predicted_ml - score.truth_ml)


def _counts(name: str, cases: Sequence[CaseResult]) -> Counts:
    found = [case.scores[name].finding for case in cases]
    return Counts(
        found=found.count("found"),
        misplaced=found.count("misplaced"),
        missed=found.count("missed"),
        false_alarms=found.count("false_alarm"),
        absent=found.count("absent"),
        patients=len({case.person for case in scored_cases(cases, name)}),
    )


def _pieces(name: str, cases: Sequence[CaseResult]) -> Pieces | None:
    counted = [(case.person, pieces) for case in cases if (pieces := case.scores[name].pieces) is not None]
    if not counted:
        return None
    people = [person for person, _ in counted]
    found, truth = [float(pieces.found) for _, pieces in counted], [float(pieces.truth) for _, pieces in counted]
    return Pieces(
        truth=round(sum(truth)),
        sensitivity=ratio_of(found, truth, people),
        false_per_case=mean_of([float(pieces.false) for _, pieces in counted], people),
    )


def _calibration(name: str, cases: Sequence[CaseResult]) -> Calibration:
    tables: dict[str, NDArray[np.float64]] = {}
    for case in cases:
        tables[case.person] = tables.get(case.person, np.zeros((3, BINS))) + case.reliability[name].table
    stacked = np.array(list(tables.values())).reshape(len(tables), 3, BINS)
    squares = [case.reliability[name].squares for case in cases]
    voxels = [float(case.reliability[name].voxels.sum()) for case in cases]
    truth = [float(case.reliability[name].truth.sum()) for case in cases]
    # The first bin ends where the band begins, so that all that is in it is marked.
    overlooked = [float(case.reliability[name].truth[0]) for case in cases]
    people = [case.person for case in cases]

    def ece(drawn: Numbers) -> Numbers:
        sums = np.einsum("dp,pkb->dkb", drawn, stacked)
        whole = sums[:, 0].sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(whole > 0, np.abs(sums[:, 1] - sums[:, 2]).sum(axis=1) / whole, np.nan))

    return Calibration(
        ece=estimate(ece, len(cases), len(tables)),
        brier=ratio_of(squares, voxels, people),
        overlooked=ratio_of(overlooked, truth, people),
        bins=_bins(stacked.sum(axis=0)),
    )


def _bins(table: NDArray[np.float64]) -> tuple[Bin, ...]:
    return tuple(
        Bin(low=place / BINS, high=(place + 1) / BINS, voxels=int(voxels), said=said / voxels, true=true / voxels)
        for place, (voxels, said, true) in enumerate(table.T.tolist())
        if voxels
    )
