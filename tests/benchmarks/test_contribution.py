"""Hospitals are drawn as planned, ranks and agreement are what they say, and the page says what was found."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.contribution import plan
from benchmarks.contribution.plan import (
    CASES,
    EVALUATOR,
    HOSPITALS,
    UNEQUAL,
    Estimated,
    Exact,
    Trial,
    configuration,
    draw_hospitals,
    planned,
    sent_by_riders,
)
from benchmarks.contribution.report import write_results
from benchmarks.contribution.summary import agreement_of, rank_correlation, summarise
from benchmarks.contribution.training import measure
from fedvoxel.federation.contribution import agreement
from fedvoxel.federation.contribution_config import RoundContribution
from fedvoxel.federation.outcome import RoundRecord
from fedvoxel.federation.resemblance import resemblance_of
from fedvoxel.updates.update import Update
from fedvoxel.volumes.plan import PreparedCase
from tests.evaluation.credit.hospitals import blob
from tests.evaluation.credit.records import apart, records


@pytest.fixture(scope="module")
def pool() -> list[PreparedCase]:
    random = np.random.default_rng(0)
    return [blob(f"case-{index:03d}", random) for index in range(100)]


def test_every_part_is_one_of_its_own_and_exact_values_need_all_subsets() -> None:
    parts = planned([1, 2], range(1, 21), [21])
    assert len({part.name for part in parts}) == len(parts) == len({str(configuration(part)) for part in parts})
    assert sum(isinstance(part, Exact) and part.seed == 1 for part in parts) == 16
    kinds = [part.kind for part in parts if isinstance(part, Trial)]
    assert min(kinds.count(kind) for kind in plan.KINDS) >= 6
    assert {part.rider for part in parts if isinstance(part, Trial) and part.kind == "free rider"} == set(plan.RIDERS)


def test_hospitals_have_patients_of_their_own_and_the_bad_one_is_bad(pool: list[PreparedCase]) -> None:
    for trial in (Trial(1, "nobody"), Trial(2, "wrong labels"), Trial(3, "copied cases"), Trial(4, "free rider")):
        sites = draw_hospitals(trial, pool)
        assert list(sites) == [*HOSPITALS, EVALUATOR] and not sites[EVALUATOR].training
        names = {site: {case.case for case in one.training} for site, one in sites.items()}
        assert {len(found) for site, found in names.items() if site != EVALUATOR} == {CASES}
        distinct = len(HOSPITALS) - (trial.kind == "copied cases")
        assert len(set().union(*names.values())) == distinct * CASES
        assert names[trial.bad].isdisjoint(names[trial.copied]) == (trial.kind != "copied cases")
        assert list(sent_by_riders(trial)) == ([trial.bad] if trial.kind == "free rider" else [])


def test_the_same_seed_draws_the_same_patients_for_every_subset(pool: list[PreparedCase]) -> None:
    whole, part = draw_hospitals(Estimated(5, "shapley"), pool), draw_hospitals(Exact(5, ("hospital-c",)), pool)
    assert list(part) == ["hospital-c", EVALUATOR]
    for one, other in zip(whole["hospital-c"].training, part["hospital-c"].training, strict=True):
        np.testing.assert_array_equal(one.label, other.label)
    assert {site: len(one.training) for site, one in whole.items()} == {
        **{site: cases for site, (cases, _) in UNEQUAL.items()},
        EVALUATOR: 0,
    }


def test_ranks_are_spearmans_and_agreement_is_that_of_the_updates() -> None:
    random = np.random.default_rng(3)
    one, other = ({site: float(random.normal()) for site in UNEQUAL} for _ in range(2))
    expected = stats.spearmanr([one[site] for site in UNEQUAL], [other[site] for site in UNEQUAL]).statistic
    assert rank_correlation(one, other) == pytest.approx(expected)
    updates = {
        site: Update({"w": random.normal(size=50).astype(np.float32)}, cases) for site, (cases, _) in UNEQUAL.items()
    }
    values = dict.fromkeys(UNEQUAL, 0.0)
    contribution = RoundContribution(
        method="shapley", values=values, errors=values, resemblance=resemblance_of(updates), evaluations=16, seconds=1.0
    )
    counts = {site: update.case_count for site, update in updates.items()}
    record = RoundRecord(round=0, seconds=1.0, contributed=counts, contribution=contribution)
    assert agreement_of(record) == pytest.approx(agreement(updates), abs=1e-5)


def test_parts_are_trained_and_scored(pool: list[PreparedCase], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "RECIPE", dict(plan.RECIPE) | {"rounds.num_rounds": 1})
    nobody = measure(Exact(1, ()), pool)
    trained = measure(Estimated(1, "gtg_shapley"), pool)
    assert 0 <= nobody["dice"] <= 1 and nobody["scoring_seconds"] > 0
    assert len(trained["records"]) == 1 and trained["evaluations"] >= 2


def _exact_values() -> dict[Any, dict[str, Any]]:
    """Returns parts in which each hospital adds what it has to any other, and costs a second."""
    adds = {"hospital-a": 0.4, "hospital-b": 0.2, "hospital-c": 0.1, "hospital-d": -0.1}
    return {
        part: {"dice": 0.3 + sum(adds[site] for site in part.sites), "seconds": 10.0, "scoring_seconds": 0.5}
        for part in planned([1], [], [])
        if isinstance(part, Exact)
    }


def test_the_page_says_what_was_found_and_only_of_what_is_finished(tmp_path: Path) -> None:
    bad = Trial(3, "wrong labels").bad
    harmful = records({bad: -0.02}, apart(bad))
    honest = records()
    rank = [record.model_dump(mode="json") for record in records({"hospital-a": 0.04, "hospital-b": 0.03})]
    found: dict[Any, dict[str, Any]] = {
        Trial(3, "wrong labels"): {"records": [one.model_dump(mode="json") for one in harmful], "seconds": 1.0},
        Trial(6, "wrong labels"): {"records": [one.model_dump(mode="json") for one in honest], "seconds": 1.0},
        Trial(21, "nobody"): {"records": [one.model_dump(mode="json") for one in honest], "seconds": 1.0},
    }
    write_results(found, tmp_path)
    page = (tmp_path / "contribution.md").read_text()
    assert (
        "Found in 1 of 2** trials, under its right name in 1; 0 of 13 honest" in page and "The exact value" not in page
    )
    found |= _exact_values() | {
        Estimated(1, method): {"records": rank, "evaluations": 128, "seconds": 20.0} for method in plan.METHODS
    }
    write_results(found, tmp_path)
    summary = json.loads((tmp_path / "contribution.json").read_text())
    assert summary["seeds"][0]["exact"] == pytest.approx(
        {"hospital-a": 0.4, "hospital-b": 0.2, "hospital-c": 0.1, "hospital-d": -0.1}
    )
    row = summary["methods"]["leave_one_out"]
    assert (row["models"], row["extra_cost"]) == (40, pytest.approx(40 * 0.5 / (16 * 10.5)))
    assert row["cost_with_run"] == pytest.approx(30 / (16 * 10.5))
    assert "Ranks beside exact" in (tmp_path / "contribution.md").read_text()


def test_a_seed_with_a_subset_missing_is_left_out() -> None:
    parts = _exact_values()
    parts.pop(next(iter(parts)))
    assert summarise(parts)["seeds"] == []
