"""A site answers a check of a job on a protected cohort, and the answer is the same whoever its patients are."""

from pathlib import Path
from typing import Any

import pytest
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, LedgerError
from fedvoxel.flare.executor import SiteExecutor
from fedvoxel.flare.job_check import CheckResult
from fedvoxel.flare.job_probe import probe_folder, verdict_of
from fedvoxel.flare.messages import NO_ARRAYS, TASK_CHECK, error_of
from fedvoxel.flare.outbound import COHORT_PROPERTY, OutboundFilter
from fedvoxel.flare.private_check import private_readiness
from fedvoxel.governance.approval_policy import ApprovalPolicy, write_approval_policy
from fedvoxel.governance.job_folder import JobFolder, parse_job
from fedvoxel.governance.outbound import PrivateReadiness, SiteReadiness
from fedvoxel.privacy.ledger import open_ledger
from fedvoxel.privacy.policy import CohortBudget, NoBudget, PrivacyPolicy, PublicCohort, grant, write_privacy_policy
from fedvoxel.privacy.sections import read_section
from fedvoxel.privacy.simulation import plan_of
from fedvoxel.privacy.spending import planned_epsilon
from tests.blob_job import controller_of, executor_of, job_documents

SECTION = {
    "unit": "patient",
    "clip_norm": 1.0,
    "noise_multiplier": 10.0,
    "sampling_probability": 1.0,
    "steps_per_round": 1,
    "delta": 1e-3,
    "expected_batch": 1000,
}
SPARED = SECTION | {"spare_draws": 1}
OF_HOSPITALS = {"unit": "hospital", "clip_norm": 1.0, "noise_multiplier": 10.0, "sites": 3, "delta": 1e-3}


def cost(rounds: int) -> float:
    return planned_epsilon(plan_of(read_section(SECTION), rounds))


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A hospital's policy, which protects a cohort that it has not even described: a check must not need that."""
    folder = tmp_path / "local"
    folder.mkdir()
    write_privacy_policy(folder, PrivacyPolicy(schema_version=1))
    write_approval_policy(folder, ApprovalPolicy())
    grant(folder, "blobs", CohortBudget(unit="patient", epsilon=cost(3) + 0.001, delta=1e-2))
    return folder


def covered(local: Path, privacy: Any, rounds: int) -> Any:
    told = private_readiness(local, "blobs", privacy, rounds)
    assert told is not None and told.keys() == {"protects", "rounds", "versions"}
    return told["rounds"]


def test_says_how_many_rounds_the_budget_covers_and_spends_nothing(local: Path) -> None:
    assert covered(local, SECTION, 2) == 2
    assert covered(local, SECTION, 5) == 3
    assert not (local.parent / "state").exists()
    ledger = open_ledger(local, local.parent / "state", "blobs")
    ledger.reserve("earlier", "job", 0, plan_of(read_section(SECTION), 1))
    assert covered(local, SECTION, 5) == 0
    grant(local, "blobs", CohortBudget(unit="patient", epsilon=cost(1) + cost(2) + 0.001, delta=1e-2))
    assert covered(local, SECTION, 5) == 2


def test_says_how_many_spare_draws_the_budget_covers_beside_the_rounds(local: Path) -> None:
    assert covered(local, SPARED, 1) == 2, "the round and the spare draw"
    assert covered(local, SPARED, 3) == 3, "the rounds alone"
    assert covered(local, SPARED | {"spare_draws": 0}, 1) == 1


@pytest.mark.parametrize("privacy", [None, OF_HOSPITALS, SECTION | {"noise_multiplier": None}])
def test_a_job_that_does_not_protect_that_unit_gets_no_round(privacy: Any, local: Path) -> None:
    assert covered(local, privacy, 1) == 0


@pytest.mark.parametrize("entry", [NoBudget(), PublicCohort()])
def test_other_cohorts_are_left_to_the_trainer(entry: Any, local: Path) -> None:
    grant(local, "blobs", entry)
    assert private_readiness(local, "blobs", SECTION, 1) is None


def test_what_cannot_be_told_is_an_error(local: Path) -> None:
    with pytest.raises(ConfigError, match="no entry for cohort"):
        private_readiness(local, "liver", SECTION, 1)
    with pytest.raises(ConfigError, match="unit"):
        private_readiness(local, "blobs", {}, 1)
    open_ledger(local, local.parent / "state", "blobs").reserve("run", "job", 0, plan_of(read_section(SECTION), 1))
    path = local.parent / "state" / "privacy" / "blobs" / "ledger.jsonl"
    path.write_bytes(path.read_bytes().replace(b"run", b"sun"))
    with pytest.raises(LedgerError):
        private_readiness(local, "blobs", SECTION, 1)


def test_only_a_declared_number_of_patients_declines_a_job(local: Path) -> None:
    section = SECTION | {"expected_batch": 50}
    assert covered(local, section, 2) == 2, "whatever the real number, which is not looked at"
    declared = CohortBudget(unit="patient", epsilon=cost(3), delta=1e-2, patients_at_least=49)
    grant(local, "blobs", declared)
    with pytest.raises(ConfigError, match="larger than the cohort of 49"):
        private_readiness(local, "blobs", section, 2)
    grant(local, "blobs", declared.model_copy(update={"patients_at_least": 50}))
    assert covered(local, section, 2) == 2


class Workspace:
    """Stands where FLARE's workspace does: it says where the site's own files are."""

    def __init__(self, local: Path) -> None:
        self._local = local

    def get_site_config_dir(self) -> str:
        return str(self._local)


def left(local: Path, privacy: Any, cohort: str = "blobs") -> Shareable:
    """Is what leaves the site, after its filter, in answer to a check."""
    context = FLContext()
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, Workspace(local), private=True, sticky=False)
    context.set_prop(FLContextKey.TASK_NAME, TASK_CHECK, private=True, sticky=False)
    executor = SiteExecutor(cohort, ["blob"], {}, {}, "job_check", privacy)
    question = FLModelUtils.to_shareable(FLModel(metrics=dict(NO_ARRAYS), current_round=0, total_rounds=5))
    answer = executor.execute(TASK_CHECK, question, context, Signal())
    assert context.get_prop(COHORT_PROPERTY) == cohort
    return OutboundFilter().process(answer, context)


def test_the_answer_leaves_the_site(local: Path) -> None:
    meta = FLModelUtils.from_shareable(left(local, SECTION)).meta
    told = parse_config(PrivateReadiness, {key: meta[key] for key in PrivateReadiness.model_fields}, "the answer")
    assert (told.protects, told.rounds) == ("patient", 3) and told.versions["fedvoxel"]


def test_a_failed_check_of_a_protected_cohort_says_no_reason(local: Path) -> None:
    said = error_of(left(local, {"unit": "patient"}))
    assert "declined" in said and "clip_norm" not in said


def job(privacy: Any, rounds: int) -> JobFolder:
    documents = job_documents()
    controller_of(documents)["args"]["rounds"] |= {"num_rounds": rounds}
    executor_of(documents)["executor"]["args"]["privacy"] = privacy
    return parse_job(documents)


@pytest.mark.parametrize(
    ("told", "privacy", "accepted", "note"),
    [
        (5, SECTION, True, "covers all 5 rounds"),
        (2, SECTION, True, "covers 2 of the 5 rounds"),
        (6, SPARED, True, "covers all 5 rounds and 1 of 1 spare draw;"),
        (5, SPARED, True, "covers all 5 rounds and 0 of 1 spare draw;"),
        (4, SPARED, True, "covers 4 of the 5 rounds"),
        (0, SECTION, False, "covers 0 of the 5 rounds"),
        (0, None, False, "needs a privacy section with unit 'patient', it has none"),
        (0, OF_HOSPITALS, False, "with unit 'patient', it has hospital"),
    ],
)
def test_what_an_answer_means(told: int, privacy: Any, accepted: bool, note: str) -> None:
    verdict = verdict_of("a", PrivateReadiness(protects="patient", rounds=told, versions={}), job(privacy, 5))
    assert (verdict.accepted, verdict.trains) == (accepted, accepted) and note in verdict.reasons[0]


def test_the_probe_says_how_many_rounds_are_planned_and_promises_nothing() -> None:
    documents = job_documents()
    controller_of(documents)["args"]["rounds"]["num_rounds"] = 7
    documents["meta.json"]["promises"] = {"unit": "patient", "epsilon": 8, "delta": 1e-3}
    probe = probe_folder(parse_job(documents), ["a"], 60)
    assert probe.controller.args["num_rounds"] == 7 and probe.meta.promises is None


def test_both_kinds_of_answers_are_read_back() -> None:
    ready = {
        "a": {"protects": "patient", "rounds": 3, "versions": {}},
        "b": {"training_cases": "1 to 4", "refused_cases": "none", "versions": {}},
    }
    read = parse_config(CheckResult, {"ready": ready, "missing": {}}, "the answers").ready
    assert isinstance(read["a"], PrivateReadiness) and isinstance(read["b"], SiteReadiness)
    with pytest.raises(ConfigError):
        parse_config(CheckResult, {"ready": {"a": ready["a"] | ready["b"]}, "missing": {}}, "the answers")
