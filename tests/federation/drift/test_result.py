"""One alarm of all hospitals: rare where nothing has changed, sure where images have, and named where they have."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.drift.summaries import Signal, Signals
from fedvoxel.evaluation.drift.telling import told_of_images
from fedvoxel.federation.calibration.plan import Spread
from fedvoxel.federation.calibration.score_counts import ScoreCounts
from fedvoxel.federation.drift.answers import TooFewImages, WatchAnswer, check_fits
from fedvoxel.federation.drift.reference import WatchQuestion, WatchReference
from fedvoxel.federation.drift.result import DriftWatchResult, make_result
from fedvoxel.records.atomic import write_json
from tests.federation.drift.test_answers import PACKAGE, question, told
from tests.federation.drift.test_signs import distances, reference, small_hospitals

USUAL = Spread(mean=1.0, deviation=0.3)


def asked(counts: ScoreCounts) -> WatchQuestion:
    held = WatchReference(distances=counts, log_volumes={"blob": USUAL}, training_cases=200)
    return WatchQuestion(model="blobs", package=PACKAGE, last=1000, reference=held)


def images(count: int, seed: int, factor: float = 1.0, larger: float = 0.0) -> Signals:
    volumes = np.exp(np.random.default_rng(seed + 5000).normal(1.0 + larger, 0.3, count))
    pairs = zip(distances(count, seed, factor), volumes, strict=True)
    return Signals(tuple(Signal(float(n), float(far), False, {1: float(ml)}, {}) for n, (far, ml) in enumerate(pairs)))


def answer(question: WatchQuestion, signals: Signals) -> WatchAnswer:
    found = told_of_images(signals, None, question, ["blob"], 5).answer
    assert isinstance(found, WatchAnswer)
    check_fits(found, question)
    return found


def watched(question: WatchQuestion, sites: dict[str, Signals]) -> DriftWatchResult:
    return make_result(question, {name: answer(question, signals) for name, signals in sites.items()}, {})


@pytest.mark.parametrize("size", [20, 60])
@pytest.mark.parametrize("made", [reference, small_hospitals])
def test_where_nothing_has_changed_alarms_are_rare(made: Callable[[int], ScoreCounts], size: int) -> None:
    """Of 60 looks at four hospitals; each look may have an alarm with about 1 %."""
    alarms = 0
    for look in range(60):
        seeds = {f"hospital-{site}": images(size, 10_000 + 10 * look + site) for site in range(4)}
        alarms += watched(asked(made(look)), seeds).verdict == "drift"
    assert alarms <= 2


def test_counted_at_the_farthest_an_unchanged_hospital_would_seem_to_drift() -> None:
    """Why images in use are moved to the nearest: with 20 images, five to a cell, the other way would be a bias."""
    from fedvoxel.federation.calibration.score_counts import count_scores
    from fedvoxel.federation.drift.signs import sign_of_counts

    held = count_scores(distances(2000, 1), reference().edges, 5)
    sizes = {nearest: [] for nearest in (False, True)}
    for seed in range(60):
        for nearest, found in sizes.items():
            counts = count_scores(distances(20, 100 + seed), held.edges, 5, nearest=nearest).counts
            found.append(sign_of_counts(counts, held).size)
    assert np.mean(sizes[False]) > 0.55 and np.mean(sizes[True]) < 0.48


def test_the_hospital_whose_images_changed_is_named_and_no_other() -> None:
    held = asked(reference())
    sites = {"a": images(60, 1), "b": images(60, 2, 1.8), "c": images(60, 3)}
    found = watched(held, sites)
    assert (found.verdict, found.drifting) == ("drift", ("b",))
    assert {sign.of for sign in found.sites["b"].alarms} == {"images", "unusual"}
    assert found.says[1].startswith("b, 60 images: drift: farther away") and "a, 60 images: nothing" in found.says[0]


def test_a_change_of_volumes_everywhere_is_seen_together() -> None:
    held = asked(reference())
    found = watched(held, {f"h{site}": images(25, 20 + site, larger=0.19) for site in range(6)})
    assert found.together and {sign.of for sign in found.together.alarms} == {"volume"}
    assert found.verdict == "drift" and len(found.drifting) < 6
    assert any(line.startswith("all 6 together, 150 images: drift: volume of blob +0.") for line in found.says)


def test_a_hospital_alone_has_no_together() -> None:
    found = watched(asked(reference()), {"a": images(60, 1)})
    assert found.together is None and found.verdict == "stable"


def test_who_tells_nothing_is_named_with_the_reason() -> None:
    found = make_result(question(), {"b": TooFewImages(minimum_images=5)}, {"a": "no reply"})
    assert found.verdict == "nothing told" and found.says[0] == "no hospital told anything"
    assert found.absent["a"] == "no reply" and "below minimum: fewer than 20 images" in found.absent["b"]


def test_hidden_counts_alarm_of_nothing() -> None:
    few = told(unusual="few", distances={"edges": [1.0, 2.0, 3.0], "counts": [28, 12, 0, 0]})
    found = make_result(question(), {"a": few}, {})
    (unusual,) = (sign for sign in found.sites["a"].signs if sign.of == "unusual")
    assert unusual.size == 1 / 40 and found.verdict == "stable"


def test_a_hospital_that_lies_hides_no_other() -> None:
    held = asked(reference())
    honest = {"a": answer(held, images(60, 1)), "b": answer(held, images(60, 2, 1.5))}
    near = ScoreCounts(
        edges=held.reference.distances.edges, counts=(1000, *(0 for _ in held.reference.distances.edges))
    )
    lie = honest["a"].model_copy(update={"images": 1000, "distances": near, "unusual": 0})
    check_fits(lie, held)
    assert make_result(held, honest | {"c": lie}, {}).drifting[:1] == ("b",)


def test_the_result_is_the_same_whatever_the_order_and_can_be_read() -> None:
    held = asked(reference())
    one, two = answer(held, images(30, 1)), answer(held, images(30, 2, 1.6))
    found = make_result(held, {"a": one, "b": two}, {"d": "x", "c": "y"})
    assert found == make_result(held, {"b": two, "a": one}, {"c": "y", "d": "x"})
    assert DriftWatchResult.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("change", [{"verdict": "stable"}, {"drifting": []}, {"drifting": ["a"]}, {"together": None}])
def test_a_result_whose_alarm_was_taken_out_is_refused(change: dict[str, Any], tmp_path: Any) -> None:
    found = watched(asked(reference()), {"a": images(60, 1), "b": images(60, 2, 1.5)})
    write_json(tmp_path / "r.json", found.model_dump(mode="json"))
    values = json.loads((tmp_path / "r.json").read_text())
    assert parse_config(DriftWatchResult, values, "the result") == found
    with pytest.raises(ConfigError, match="do not follow"):
        parse_config(DriftWatchResult, values | change, "the result")
    values["sites"]["b"]["alarms"] = []
    with pytest.raises(ConfigError, match="do not follow"):
        parse_config(DriftWatchResult, values, "the result")
