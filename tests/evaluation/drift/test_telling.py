"""Whatever lies in a hospital's folder, what is told is about no few images, and no image is told of twice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvoxel.evaluation.drift.summaries import Signal, Signals
from fedvoxel.evaluation.drift.telling import told_of_images
from fedvoxel.federation.drift.answers import TooFewImages, WatchAnswer, check_fits, parse_answer
from tests.federation.drift.test_answers import EDGES, question


def signals(far: list[float], found: list[bool] | None = None) -> Signals:
    here = [True] * len(far) if found is None else found
    return Signals(tuple(Signal(float(n), one, False, {1: 2.0} if here[n] else {}, {}) for n, one in enumerate(far)))


def tell(of: Signals, minimum: int = 5, since: float | None = None, last: int = 100) -> WatchAnswer | TooFewImages:
    return told_of_images(of, since, question(last=last), ["blob", "dot"], minimum).answer


@settings(max_examples=150, deadline=None)
@given(far=st.lists(st.sampled_from([0.1, 0.9, 1.0, 1.4, 2.0, 2.1, 2.9, 7.0]), max_size=70), minimum=st.integers(5, 12))
def test_what_is_made_is_what_is_taken_and_never_farther_than_it_was(far: list[float], minimum: int) -> None:
    answer = tell(signals(far), minimum)
    read = parse_answer(answer.model_dump(mode="json"), "a")
    assert read == answer
    if not isinstance(read, WatchAnswer):
        assert len(far) < max(20, 2 * minimum - 1)
        return
    check_fits(read, question())
    exact = np.bincount(np.searchsorted(EDGES, far), minlength=4)
    beyond = np.cumsum(exact[::-1]) - np.cumsum(read.distances.counts[::-1])
    assert (beyond >= 0).all() and beyond[-1] == 0
    unusual = sum(one > 2.0 for one in far)
    assert read.unusual_at_least <= unusual
    assert (read.unusual == unusual) == (unusual == 0 or unusual >= minimum) or len(far) - unusual < minimum


@pytest.mark.parametrize(("missing", "told"), [(0, 40), (1, 36), (4, 36), (5, 35), (20, 20), (21, None), (40, None)])
def test_where_a_structure_is_missing_in_a_few_their_number_is_not_told(missing: int, told: int | None) -> None:
    answer = tell(signals([1.0] * 40, [n >= missing for n in range(40)]))
    assert isinstance(answer, WatchAnswer)
    blob = answer.volumes["blob"]
    assert (blob.images if blob else None) == told and answer.volumes["dot"] is None


def test_only_images_that_were_not_told_of_count_and_the_newest_of_them() -> None:
    of = signals([0.5] * 30 + [1.5] * 25)
    first = told_of_images(of, None, question(last=20), ["blob", "dot"], 5)
    assert isinstance(first.answer, WatchAnswer) and first.answer.distances.counts == (0, 20, 0, 0)
    assert first.until == 54.0
    assert tell(of, since=first.until) == TooFewImages(minimum_images=5)
    assert tell(of, since=35.0) == TooFewImages(minimum_images=5)
    more = tell(of, since=34.0)
    assert isinstance(more, WatchAnswer) and more.images == 20
