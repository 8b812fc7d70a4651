"""Agreement figures against published examples and an independent implementation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from fedvoxel.evaluation.reading.agreement import Opinion, agreement_of
from fedvoxel.evaluation.reading.correlation import icc_2_1
from fedvoxel.evaluation.reading.edits import edits_of
from fedvoxel.evaluation.reading.kappa import cohen_kappa, weighted_kappa
from fedvoxel.evaluation.reading.label_facts import label_facts, volumes_ml
from fedvoxel.evaluation.reading.planes import displayed, planes_of
from fedvoxel.evaluation.reading.study_summary import summaries_of
from tests.evaluation.reading.scans import scan

SHROUT_FLEISS = [(9, 2, 5, 8), (6, 1, 3, 2), (8, 4, 6, 8), (7, 1, 2, 6), (10, 5, 6, 9), (6, 2, 4, 7)]
"""Shrout and Fleiss 1979, table 2: six targets, four judges; ICC(2,1) is 0.29 in their table 4."""


def test_icc_of_the_published_example() -> None:
    assert icc_2_1(SHROUT_FLEISS).value == pytest.approx(0.2898, abs=5e-5)


def test_icc_where_it_says_nothing() -> None:
    assert icc_2_1([]).value is None
    assert icc_2_1([(1.0, 2.0)]).value is None
    assert icc_2_1([(1.0,), (2.0,)]).value is None
    assert icc_2_1([(1.0, 1.0), (1.0, 1.0)]).value is None
    assert icc_2_1([(1.0, 1.0), (3.0, 3.0)]).value == 1.0
    with pytest.raises(ValueError, match="finite"):
        icc_2_1([(1.0, float("nan")), (1.0, 2.0)])


def test_icc_counts_a_constant_difference_as_disagreement() -> None:
    values = np.arange(8.0)
    assert icc_2_1(np.stack([values, values], axis=1).tolist()).value == pytest.approx(1.0)
    shifted = icc_2_1(np.stack([values, values + 5], axis=1).tolist()).value
    assert shifted is not None and shifted < 0.5


pairs = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=40)


@given(pairs)
@pytest.mark.filterwarnings("ignore::RuntimeWarning:sklearn", "ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_kappa_agrees_with_scikit_learn(answers: list[tuple[int, int]]) -> None:
    first, second = (list(column) for column in zip(*answers, strict=True))
    if len({*first, *second}) == 1:
        assert cohen_kappa(first, second).value is None
        assert weighted_kappa(first, second, 5).value is None
        return
    assert cohen_kappa(first, second).value == pytest.approx(cohen_kappa_score(first, second))
    expected = cohen_kappa_score(first, second, weights="quadratic", labels=[1, 2, 3, 4, 5])
    assert weighted_kappa(first, second, 5).value == pytest.approx(expected)


def test_kappa_refuses_what_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="as many answers"):
        cohen_kappa([], [])
    with pytest.raises(ValueError, match="as many answers"):
        cohen_kappa([1], [1, 2])
    with pytest.raises(ValueError, match="ratings from 1 to 5"):
        weighted_kappa([0], [1], 5)


def _random_readers(cases: int, random: np.random.Generator) -> tuple[list[int], list[int]]:
    """Two readers who rate a latent quality of the case with an error of their own."""
    quality = random.normal(3.0, 1.0, cases)
    first, second = (np.clip(np.round(quality + random.normal(0, 0.6, cases)), 1, 5).astype(int) for _ in range(2))
    return first.tolist(), second.tolist()


def test_the_intervals_hold_the_truth_nearly_as_often_as_they_say() -> None:
    random = np.random.default_rng(3)
    many = _random_readers(200_000, random)
    truths = cohen_kappa_score(*many), cohen_kappa_score(*many, weights="quadratic")
    # Of normal values with spread 1 and an error of 0.6, the share of the variance that is the case's.
    correlation = 1.0 / (1.0 + 0.6**2)
    inside, tries = [0, 0, 0], 60
    for _ in range(tries):
        first, second = _random_readers(30, random)
        cases = random.normal(0, 1, (30, 1))
        found = (
            cohen_kappa(first, second),
            weighted_kappa(first, second, 5),
            icc_2_1((cases + random.normal(0, 0.6, (30, 2))).tolist()),
        )
        for place, (one, truth) in enumerate(zip(found, (*truths, correlation), strict=True)):
            assert one.low is not None and one.high is not None
            inside[place] += one.low <= truth <= one.high
    assert all(0.85 <= held / tries <= 1.0 for held in inside), inside


def test_draws_in_which_nothing_varies_are_no_part_of_an_interval() -> None:
    found = icc_2_1([(0.1, 0.1), (0.1, 0.1), (0.1, 0.1), (0.7, 0.7)])
    assert found.low == pytest.approx(1.0) and found.high == pytest.approx(1.0)


def test_edits_are_those_that_were_made() -> None:
    volume = scan("LPS", spacing_mm=(1.0, 2.0, 5.0))
    before = np.zeros(volume.shape, dtype=np.uint8, order="F")
    before[:4, :2, :2] = 1  # 16 voxels of 10 mm3
    after = before.copy(order="C")
    after[0, 0, :2] = 0
    after[5, 5, 4] = 2
    one, two, three = edits_of(before, after, volume.affine, ("one", "two", "three"))
    assert (one.before_ml, one.after_ml, one.changed_voxels) == (0.16, 0.14, 2)
    assert one.dice == pytest.approx(2 * 14 / 30)
    assert (two.before_ml, two.after_ml, two.changed_voxels, two.dice) == (0.0, 0.01, 1, 0.0)
    assert (three.changed_voxels, three.dice) == (0, None)


def test_label_facts_count_and_find_the_fullest_slices() -> None:
    volume = scan("SRA", spacing_mm=(1.0, 2.0, 5.0))
    for order in ("C", "F"):
        label = np.zeros(volume.shape, dtype=np.uint8, order=order)
        label[2, 1:4, 1:4] = 1
        label[3, 1, 1] = 2
        planes = {plane.name: plane for plane in planes_of(volume)}
        facts = label_facts(displayed(label, volume.affine), planes)
        assert facts.counts[:4].tolist() == [label.size - 10, 9, 1, 0]
        assert facts.largest == {"axial": 2, "coronal": 1, "sagittal": 1}
        assert volumes_ml(facts.counts, volume.affine, ("one", "two")) == {"one": 0.09, "two": 0.01}
    empty = label_facts(np.zeros((4, 6, 8), dtype=np.uint8), {plane.name: plane for plane in planes_of(scan())})
    assert empty.largest == {"axial": 4, "coronal": 3, "sagittal": 2}


def opinion(reader: str, case: str, verdict: str, rating: int, volume: float) -> Opinion:
    return Opinion(reader, case, "model", verdict, rating, {"one": volume}, active_s=10.0 * rating)  # type: ignore[arg-type]


def test_only_cases_that_both_answered_count() -> None:
    opinions = [
        opinion("anna", "a", "accept", 5, 1.0),
        opinion("anna", "b", "reject", 1, 2.0),
        opinion("anna", "c", "accept", 4, 3.0),
        opinion("ben", "b", "correct", 2, 2.5),
        opinion("ben", "c", "accept", 4, 3.0),
        opinion("ben", "d", "accept", 4, 9.0),
    ]
    agreement = agreement_of(opinions)
    (pair,) = agreement.verdicts
    assert (pair.readers, pair.cases, pair.same_verdict, pair.kappa) == (("anna", "ben"), 2, 2, 1.0)
    (volumes,) = agreement.volumes
    assert (volumes.cases, volumes.readers) == (2, 2)
    assert volumes.icc == pytest.approx(icc_2_1([(2.0, 2.5), (3.0, 3.0)]).value)
    (summary,) = summaries_of(opinions)
    assert (summary.answers, summary.accepted, summary.corrected, summary.rejected) == (6, 4, 1, 1)
    assert (summary.median_rating, summary.median_active_s, summary.median_edit_dice) == (4.0, 40.0, None)


def test_one_reader_agrees_with_nobody() -> None:
    agreement = agreement_of([opinion("anna", "a", "accept", 5, 1.0)])
    assert (agreement.verdicts, agreement.volumes) == ((), ())
    apart = agreement_of([opinion("anna", "a", "accept", 5, 1.0), opinion("ben", "b", "accept", 5, 1.0)])
    assert (apart.verdicts, apart.volumes) == ((), ())
