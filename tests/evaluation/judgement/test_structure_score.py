import numpy as np
import pytest

from fedvoxel.evaluation.judgement.structure_score import score_structure
from fedvoxel.evaluation.judgement.summary import StructureResult, structure_result
from tests.evaluation.judgement.case_results import NAME, case, score

SHAPE, SPACING = (10, 12, 8), (1.0, 2.0, 3.0)
NOTHING = np.zeros(SHAPE, bool)
BOX = np.zeros(SHAPE, bool)
BOX[2:6, 3:7, 2:5] = True


def test_what_was_missed_has_the_worst_scores() -> None:
    found = score_structure(NOTHING, BOX, SPACING, 1.0)
    assert (found.finding, found.dice, found.nsd) == ("missed", 0.0, 0.0)
    assert found.hd95_mm == pytest.approx(np.sqrt(10**2 + 24**2 + 24**2))
    assert (found.predicted_ml, found.truth_ml) == (0.0, pytest.approx(48 * 6 / 1000))


def test_what_is_found_where_there_is_none_counts_as_much() -> None:
    found = score_structure(BOX, NOTHING, SPACING, 1.0)
    assert (found.finding, found.dice, found.nsd) == ("false_alarm", 0.0, 0.0)
    assert found.hd95_mm == score_structure(NOTHING, BOX, SPACING, 1.0).hd95_mm


def test_what_is_rightly_not_found_has_no_score() -> None:
    found = score_structure(NOTHING, NOTHING, SPACING, 1.0, count=True)
    assert (found.finding, found.dice, found.nsd, found.hd95_mm) == ("absent", None, None, None)
    assert found.pieces is not None and found.pieces.truth == found.pieces.false == 0


def test_what_lies_elsewhere_was_not_found() -> None:
    elsewhere = np.roll(BOX, (4, 0, 0), (0, 1, 2))
    found = score_structure(elsewhere, BOX, SPACING, 1.0)
    assert (found.finding, found.dice) == ("misplaced", 0.0)
    assert found.hd95_mm < 5  # as far as it is
    beside = np.roll(BOX, (3, 0, 0), (0, 1, 2))
    assert score_structure(beside, BOX, SPACING, 1.0).finding == "found"  # shares a seventh


def summed(dices: list[float | None]) -> StructureResult:
    return structure_result(NAME, "Lesion", [case(number, dice) for number, dice in enumerate(dices)])


def test_a_miss_makes_every_aggregate_worse() -> None:
    good, one_missed = summed([0.8] * 6), summed([0.8] * 5 + [0.0])
    for better in ("dice", "nsd"):
        assert getattr(one_missed, better).value < getattr(good, better).value
    for worse in ("hd95_mm", "volume_error_ml", "volume_error_percent"):
        assert getattr(one_missed, worse).value > getattr(good, worse).value
    assert one_missed.calibration.ece.value > good.calibration.ece.value
    assert one_missed.calibration.brier.value > good.calibration.brier.value
    assert one_missed.calibration.overlooked.value > good.calibration.overlooked.value
    assert one_missed.hd95_median_mm >= good.hd95_median_mm
    assert abs(one_missed.volume.bias.value_ml) > abs(good.volume.bias.value_ml)
    assert one_missed.volume.lower.value_ml < good.volume.lower.value_ml
    assert (one_missed.counts.missed, one_missed.counts.scored) == (1, 6)


def test_a_missed_lesion_lowers_the_share_that_is_found() -> None:
    from fedvoxel.evaluation.judgement.components import PieceCounts

    def with_pieces(found: int) -> StructureResult:
        pieces = [case(n, scores={NAME: score(pieces=PieceCounts(3, 3, 0))}) for n in range(4)]
        pieces.append(case(9, scores={NAME: score(pieces=PieceCounts(3, found, 0))}))
        return structure_result(NAME, "Lesion", pieces)

    assert with_pieces(3).pieces.sensitivity.value == 1.0
    assert with_pieces(0).pieces.sensitivity.value == pytest.approx(12 / 15)


def test_what_is_nowhere_changes_no_mean() -> None:
    with_absent = summed([0.8] * 6 + [None] * 3)
    assert with_absent.dice == summed([0.8] * 6).dice
    assert (with_absent.counts.absent, with_absent.counts.patients) == (3, 6)
