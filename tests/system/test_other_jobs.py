"""The jobs that do not train: every model on every site's cases, and the cohorts' statistics, on real processes."""

from pathlib import Path

import pytest

from fedvoxel.config import load_json_config, read_json
from fedvoxel.federation.cross_site import CROSS_SITE_FILE, GLOBAL_MODEL, CrossSiteTable
from fedvoxel.flare.job_kinds import understand, variant
from fedvoxel.flare.statistics import STATISTICS_FILE
from fedvoxel.governance.job_folder import read_job_folder, write_job_folder
from fedvoxel.privacy.policy import PrivacyPolicy, load_privacy_policy, write_privacy_policy
from fedvoxel.volumes.plan import PreprocessingPlan

from .conftest import SITES, SystemUnderTest, job_variant

JOBS = Path(__file__).resolve().parents[2] / "jobs"
SMALL = {"name": "UNet", "arguments": {"channels": [4, 8], "strides": [2], "num_res_units": 0}}


@pytest.mark.slow
def test_every_model_is_scored_at_every_site(system: SystemUnderTest, tmp_path: Path) -> None:
    outcome = system.run(job_variant(tmp_path, "cross", rounds=1))
    job = understand(read_job_folder(JOBS / "cross_site_evaluation"))
    write_job_folder(variant(job, {"run_key": "cross", "training.network": SMALL}).folder, tmp_path / "evaluation")
    job_id = system.submit(tmp_path / "evaluation")
    system.wait(job_id)
    table = load_json_config(CrossSiteTable, system.download(job_id) / CROSS_SITE_FILE, "the table")
    assert set(table.scores) == {GLOBAL_MODEL, *SITES}
    assert all(set(scores) == set(SITES) for scores in table.scores.values())
    assert table.scores[GLOBAL_MODEL] == outcome.test
    assert table.missing == {}
    assert (system.state(SITES[0], "cross") / f"test_cases_{SITES[1]}.csv").is_file()


@pytest.mark.slow
def test_statistics_suggest_a_plan_and_tell_of_no_small_group(system: SystemUnderTest) -> None:
    job_id = system.submit(JOBS / "cohort_statistics")
    system.wait(job_id)
    result = read_json(system.download(job_id) / STATISTICS_FILE, "the statistics")
    assert set(result["summary"]["sites"]) == set(SITES)
    assert PreprocessingPlan.model_validate(result["summary"]["plan"]).orientation == "RAS"
    assert result["missing"] == {}
    for site in result["summary"]["sites"].values():
        assert all(count is None or count >= 5 for count in site["cases_per_split"].values())


@pytest.mark.slow
def test_nothing_leaves_a_site_that_has_not_decided_what_may(system: SystemUnderTest) -> None:
    local = system.kit(SITES[0]) / "local"
    decided = load_privacy_policy(local)
    write_privacy_policy(local, PrivacyPolicy(schema_version=1))
    try:
        job_id = system.submit(JOBS / "cohort_statistics")
        system.wait(job_id)
    finally:
        write_privacy_policy(local, decided)
    result = read_json(system.download(job_id) / STATISTICS_FILE, "the statistics")
    assert set(result["missing"]) == {SITES[0]}
    assert set(result["summary"]["sites"]) == set(SITES[1:])
