"""A job's plan: its own bytes and hours, every other setting that goes with it, and no other."""

from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.federation.line import LineConfig, line_of
from fedvoxel.federation.site_work import SiteWork
from fedvoxel.flare.job_kinds import JobContent, understand, variant
from fedvoxel.flare.job_plan import JobPlan, plan_job, sites_of
from fedvoxel.governance.job_folder import read_job_folder

JOBS = Path(__file__).resolve().parents[2] / "jobs"
LINE = line_of(LineConfig(mbit=4, rtt_ms=60))
TRAINED_BYTES = 549_372
"""The hippocampus model: what docs/results/compression.json has for each hospital and round in float32."""


def content(name: str) -> JobContent:
    return understand(read_job_folder(JOBS / name))


def plan(name: str, sites: int = 4, **work: float) -> JobPlan:
    return plan_job(content(name), LINE, sites, SiteWork(**work))


def words(made: JobPlan) -> set[str]:
    return {change.setting.words for change in made.changes}


def test_a_plan_has_the_jobs_bytes_and_its_settings_in_order() -> None:
    made = plan("hippocampus_fedavg", train_s=10.0)
    assert made.transfer.round_bytes == pytest.approx(2 * TRAINED_BYTES, rel=0.02)
    assert made.forecast.seconds == pytest.approx(made.transfer.seconds + made.rounds * 10)
    seconds = [change.forecast.seconds for change in made.changes]
    assert seconds == sorted(seconds)
    assert {"int8, both ways", "stepped 1, up only", "half the rounds", "no scores"} <= words(made)
    assert "float32, both ways" not in words(made), "that is what the job has"


def test_what_a_codec_writes_of_trained_updates_is_what_was_planned() -> None:
    made = plan("hippocampus_compressed")
    (update,) = {phase.step.up for phase in made.transfer.phases if phase.step.trains}
    # docs/results/compression.json: 38,517 to 40,220 bytes for each hospital, round by round (seed 1).
    assert update.size_bytes == pytest.approx(39_600, rel=0.05)
    assert "float32, both ways" in words(made) and "stepped 1, both ways" not in words(made)


def test_a_secure_job_is_planned_in_the_widths_that_its_updates_have() -> None:
    made = plan("hippocampus_secure")
    first, others = (phase.step for phase in made.transfer.phases if phase.step.trains)
    # Four bytes a value in the first round, and two in the others.
    assert first.up.size_bytes == pytest.approx(TRAINED_BYTES, rel=0.02)
    assert others.up.size_bytes == pytest.approx(TRAINED_BYTES / 2, rel=0.02)
    plain = plan("hippocampus_fedavg")
    assert made.transfer.rounds_s > plain.transfer.rounds_s * 0.75 + 4 * made.rounds * LINE.task_s
    assert made.transfer.round_bytes == pytest.approx(1.5 * TRAINED_BYTES, rel=0.1)
    assert words(made) == {"half the rounds", "no scores"}


def test_every_setting_that_is_shown_can_be_exported() -> None:
    job = content("hippocampus_contribution")
    made = plan_job(job, LINE, 4, SiteWork())
    assert "no contribution" in words(made)
    for change in made.changes:
        variant(job, change.setting.values)


def test_a_job_that_protects_somebody_is_offered_the_codecs_whose_width_noise_does_not_change() -> None:
    for job, offered in (
        ("hippocampus_dp_patient", {"fp16, both ways", "int8, both ways", "int8, up only"}),
        ("hippocampus_dp_central", {"int8, up only"}),
    ):
        assert {said for said in words(plan(job, sites=5)) if "way" in said or "only" in said} == offered


def test_half_as_many_rounds_and_no_correction() -> None:
    made = {change.setting.words: change for change in plan("hippocampus_scaffold").changes}
    plain = plan("hippocampus_fedavg").transfer
    assert made["no correction"].forecast.rounds_s == pytest.approx(plain.rounds_s)
    half: dict[str, Any] = made["half the rounds"].setting.values
    assert half == {"rounds.num_rounds": 6}


def test_a_round_timeout_that_the_line_breaks_is_a_warning() -> None:
    thin = line_of(LineConfig(mbit=0.2, rtt_ms=60))
    job = variant(content("hippocampus_fedavg"), {"rounds.round_timeout_s": 30})
    assert "round_timeout_s" in "".join(plan_job(job, thin, 4, SiteWork()).warnings)


def test_a_job_without_rounds_or_sites_enough_has_no_plan() -> None:
    with pytest.raises(ConfigError, match="trains nothing"):
        plan("cohort_statistics")
    with pytest.raises(ConfigError, match="min_sites"):
        plan("hippocampus_fedavg", sites=1)


def test_without_torch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedvoxel.flare.job_plan.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"install fedvoxel\[site\]"):
        plan("hippocampus_fedavg")


def test_the_number_of_sites_is_the_jobs_own() -> None:
    job = content("hippocampus_fedavg")
    assert sites_of(job) == max(job.folder.meta.min_clients, job.updates_needed)
    named = variant(job, {"deploy_map": {"app": ["server", "one", "two", "three"]}, "min_clients": 2})
    assert sites_of(named) == 3
