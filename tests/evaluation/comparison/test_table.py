"""The comparison's figures against a calculation by hand, what it refuses, and what it writes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConfigError, JobError
from fedvoxel.evaluation.case_table import PERSONAL_MODEL, case_table_name, read_case_table, write_case_table
from fedvoxel.evaluation.comparison.case_means import mean_cases
from fedvoxel.evaluation.comparison.ground import check_same_ground, check_same_tests
from fedvoxel.evaluation.comparison.page import write_comparison
from fedvoxel.evaluation.comparison.result import Comparison
from fedvoxel.evaluation.comparison.table import References, compare_jobs
from fedvoxel.evaluation.comparison.trial import Trial, cases_as_json, cases_from_json, check_finished, read_cases
from fedvoxel.evaluation.summary import summarise
from fedvoxel.federation.outcome import RunOutcome, ValidationScore
from fedvoxel.federation.sent_bytes import BesideRounds
from fedvoxel.updates.scores import CaseScore
from tests.finished_job import blob_task
from tests.private_section import PRIVACY
from tests.sample_run import sample_outcome

SITES = {"hospital-a": 6, "hospital-b": 8}
BESIDE = BesideRounds(first_model_up=7, validation_down=10, test_down=20)


def scores(dice: float, sites: Mapping[str, int] = SITES) -> dict[str, tuple[CaseScore, ...]]:
    """Cases that spread by 0.001 about `dice`; the second class is 0.02 better, the last case has one class only."""
    return {
        site: tuple(
            CaseScore(
                f"{site}-{i}",
                {"anterior": dice + 0.001 * i, "posterior": None if i == count - 1 else dice + 0.001 * i + 0.02},
                {"anterior": 1.0, "posterior": None},
            )
            for i in range(count)
        )
        for site, count in sites.items()
    }


def trial(job: str, seed: int, dice: float, sites: Mapping[str, int] = SITES, **said: Any) -> Trial:
    found = scores(dice, sites)
    test = {site: summarise(cases) for site, cases in found.items()}
    curve = {"hospital-a": ValidationScore(cases=4, dice={"anterior": dice, "posterior": dice})}
    rounds = tuple(
        record.model_copy(update={"validation": curve, "bytes_up": 1_000_000, "bytes_down": 2_000_000, "seconds": 5.0})
        for record in sample_outcome().rounds[:2]
    )
    outcome = sample_outcome().model_copy(
        update={"test": test, "rounds": rounds, "personal": {}, "beside_rounds": BESIDE, **said}
    )
    return Trial(job, seed, outcome, found)


@pytest.fixture
def comparison() -> Comparison:
    trials = [
        trial("fedavg", 1, 0.80),
        trial("fedavg", 2, 0.82),
        trial("scaffold", 1, 0.83),
        trial("scaffold", 2, 0.85),
    ]
    local = {seed: {site: scores(0.79)[site] for site in SITES} for seed in (1, 2)}
    pooled = {seed: scores(0.84) for seed in (1, 2)}
    return compare_jobs("hippocampus", ("anterior", "posterior"), trials, References(local, pooled))


def test_the_table_is_that_of_a_calculation_by_hand(comparison: Comparison) -> None:
    first, second = comparison.rows
    # Site a: anterior mean of 0, 1, .. 5 thousandths above, posterior of the first five and 0.02 more.
    a, b = 0.81 + (0.0025 + 0.020 + 0.0020) / 2, 0.81 + (0.0035 + 0.020 + 0.0030) / 2
    assert first.sites == pytest.approx({"hospital-a": a, "hospital-b": b})
    assert first.dice == pytest.approx((6 * a + 8 * b) / 14)
    assert first.dice_by_seed == pytest.approx([first.dice - 0.01, first.dice + 0.01])
    assert first.worst_site == "hospital-a"
    assert (first.bytes_up, first.bytes_down, first.seconds) == (2_000_007, 4_000_030, 10.0)
    assert first.curve == pytest.approx((0.81, 0.81))
    assert second.dice == pytest.approx(first.dice + 0.03)


def test_differences_and_gains_are_paired_by_case(comparison: Comparison) -> None:
    (found,) = comparison.differences
    assert (found.job, found.other, found.cases) == ("scaffold", "fedavg", 14)
    assert (found.mean, found.low, found.high) == pytest.approx((0.03, 0.03, 0.03))
    gains = {(one.job, one.gain.against, one.gain.site): one.gain for one in comparison.gains}
    assert len(gains) == 2 * 2 * len(SITES)
    assert gains["fedavg", "local", "hospital-a"].difference == pytest.approx(0.02)
    assert gains["fedavg", "local", "hospital-a"].verdict == "gained"
    assert gains["fedavg", "pooled", "hospital-b"].verdict == "behind"
    # The last case of each hospital has one class only, so that its mean lacks half of the second class's 0.02.
    a, b = 0.84 + 0.0025 + 0.01 * 5 / 6, 0.84 + 0.0035 + 0.01 * 7 / 8
    assert comparison.pooled == pytest.approx((6 * a + 8 * b) / 14)


def test_a_personal_model_is_what_counts_where_a_job_has_one() -> None:
    personal = {site: summarise(cases) for site, cases in scores(0.9).items()}
    made = compare_jobs("c", ("anterior", "posterior"), [trial("ditto", 1, 0.8, personal=personal)])
    assert made.rows[0].personal
    assert made.rows[0].dice is not None and made.rows[0].dice > 0.9


def test_without_single_cases_nothing_is_claimed() -> None:
    trials = [Trial(t.job, t.seed, t.outcome) for t in (trial("a", 1, 0.80), trial("b", 1, 0.90))]
    made = compare_jobs("c", ("anterior", "posterior"), trials)
    assert (made.differences[0].cases, made.differences[0].mean, made.gains) == (0, None, ())
    said = " ".join(made.caveats)
    assert "no intervals" in said and "One seed" in said
    few = compare_jobs("c", ("anterior",), [trial("a", 1, 0.8, {"hospital-a": 3})])
    assert "nothing is claimed" in few.caveats[0]


def test_runs_that_were_scored_on_other_cases_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"hospital-b scored 8 unseen cases in one and 7"):
        check_same_tests([trial("a", 1, 0.8), trial("b", 1, 0.8, {"hospital-a": 6, "hospital-b": 7})])
    with pytest.raises(ConfigError, match=r"hospital-b scored 8 unseen cases in one and 0"):
        check_same_tests([trial("a", 1, 0.8), trial("b", 1, 0.8, {"hospital-a": 6})])
    other = trial("b", 1, 0.8)
    renamed = tuple(CaseScore(f"x{score.case}", score.dice, score.hd95_mm) for score in other.cases["hospital-a"])
    with pytest.raises(ConfigError, match="hospital-a has as many unseen cases in both, but not the same"):
        check_same_tests([trial("a", 1, 0.8), Trial("b", 1, other.outcome, other.cases | {"hospital-a": renamed})])


def test_jobs_on_another_ground_are_refused_with_what_differs() -> None:
    task = blob_task()
    check_same_ground({"a": task, "b": blob_task(seed=9, epochs_per_round=3)})
    plan = task.plan.model_copy(update={"spacing_mm": (1.0, 1.0, 2.0)})
    changes = {"cohort": "others", "classes": ("other",), "plan": plan}
    for key, value in changes.items():
        with pytest.raises(ConfigError, match=rf"a and b cannot be compared: {key}.* in b"):
            check_same_ground({"a": task, "b": task.model_copy(update={key: value})})
    with pytest.raises(ConfigError, match="b has a privacy section"):
        check_same_ground({"a": task, "b": blob_task(PRIVACY)})


def test_half_a_run_is_refused() -> None:
    outcome = trial("a", 1, 0.8).outcome
    check_finished("a", 1, outcome)
    with pytest.raises(JobError, match=r"a \(seed 1\) failed: no quorum"):
        check_finished("a", 1, outcome.model_copy(update={"status": "failed", "reason": "no quorum"}))
    with pytest.raises(JobError, match="tested nowhere"):
        check_finished("a", 1, outcome.model_copy(update={"test": {}}))


def test_a_class_that_one_seed_lacks_is_none_and_one_site_that_a_seed_lacks_is_left_out() -> None:
    one, other = scores(0.8), scores(0.9)
    lacking = tuple(CaseScore(s.case, {"anterior": None, "posterior": 0.5}, {}) for s in other["hospital-a"])
    found = mean_cases([one, {"hospital-a": lacking}])
    assert set(found) == {"hospital-a"}
    assert found["hospital-a"][0].dice == {"anterior": None, "posterior": pytest.approx((0.82 + 0.5) / 2)}
    assert mean_cases([]) == {}


def _outcome(**said: Any) -> RunOutcome:
    return trial("a", 1, 0.8, **said).outcome


def test_the_hospitals_own_tables_are_read_personal_ones_first(tmp_path: Path) -> None:
    kits = {site: tmp_path / site for site in SITES}
    found, personal = scores(0.8), scores(0.9)
    outcome = _outcome(personal={"hospital-b": summarise(personal["hospital-b"])})
    for site, kit in kits.items():
        folder = kit / "state" / "runs" / outcome.run_key
        folder.mkdir(parents=True)
        write_case_table(folder / case_table_name("global"), found[site])
        write_case_table(folder / case_table_name(PERSONAL_MODEL), personal[site])
    read = read_cases(outcome, kits)
    assert read == {"hospital-a": found["hospital-a"], "hospital-b": personal["hospital-b"]}
    assert cases_from_json(json.loads(json.dumps(cases_as_json(read)))) == read
    table = tmp_path / "hospital-a" / "state" / "runs" / outcome.run_key / case_table_name("global")
    table.write_text("case,class\nx,y\n")
    with pytest.raises(ConfigError, match="no table of case scores"):
        read_case_table(table)


def test_the_page_and_the_figures_say_the_same(comparison: Comparison, tmp_path: Path) -> None:
    named = comparison.model_copy(update={"cohort": "<b>cohort"})
    paths = write_comparison(tmp_path, named)
    assert Comparison.model_validate_json(paths.json.read_text()) == named
    page = paths.html.read_text()
    assert "&lt;b&gt;cohort" in page and "<b>cohort" not in page
    for row in comparison.rows:
        assert f"{row.dice:.4f}" in page
    assert "scaffold minus fedavg: +0.030 (+0.030 to +0.030) on 14 cases." in page
    assert all(one.gain.sentence in page for one in comparison.gains)
    assert paths.curves.read_bytes().startswith(b"\x89PNG")
