"""A job that waits for approval is said to wait: for how many people, and how they give it."""

from pathlib import Path

import pytest

from fedvoxel.flare.approval_verdict import not_deployed, with_approval
from fedvoxel.flare.job_admission import Submitter, Verdict
from fedvoxel.governance.approval_gate import reason_to_decline
from fedvoxel.governance.approval_policy import APPROVAL_FILE
from fedvoxel.governance.approval_record import Word
from fedvoxel.governance.approvals import Approvals
from fedvoxel.governance.submission import submission_of_folder
from tests.approval_kits import NOW, OFFICER, PHYSICIAN, SCIENTIST, Hospital, blob_job

WOULD = Verdict("hospital-a", True, ("its budget covers it",), {"refused": 0}, True)
SUBMITTER = Submitter(SCIENTIST, "consortium")


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return blob_job(tmp_path / "job")


def _decide(hospital: Hospital, job: Path, name: str, word: Word) -> None:
    submission = submission_of_folder(job, hospital.kit.name)
    Approvals(hospital.kit).decide(hospital.person(name), submission, word, "not ours" * (word == "refused"), NOW)


def _judged(hospital: Hospital, job: Path, verdict: Verdict = WOULD) -> Verdict:
    return with_approval(verdict, hospital.kit, job, SUBMITTER)


def test_it_waits_until_as_many_as_the_policy_says_have_approved(hospital: Hospital, job: Path) -> None:
    assert _judged(hospital, job) == WOULD, "nobody has to"
    hospital.rule(approvals=2)
    waits = _judged(hospital, job)
    assert waits.waits and not waits.accepted and waits.details == WOULD.details and waits.trains
    content = submission_of_folder(job, "hospital-a").sha256
    assert f"0 of 2 people of this hospital have approved it (content {content[:12]})" in waits.reasons[0]
    assert f"fedvoxel site approve {hospital.kit.folder} {job} --sign" in waits.reasons[0]
    assert waits.reasons[1:] == WOULD.reasons
    _decide(hospital, job, PHYSICIAN, "approved")
    assert "1 of 2 people" in _judged(hospital, job).reasons[0]
    _decide(hospital, job, OFFICER, "approved")
    assert _judged(hospital, job) == WOULD


def test_what_would_be_refused_anyway_is_refused_and_does_not_wait(hospital: Hospital, job: Path) -> None:
    hospital.rule(approvals=1)
    refused = _judged(hospital, job, Verdict("hospital-a", False, ("no such cohort",)))
    assert not refused.waits and refused.reasons[0] == "no such cohort" and "waits for approval" in refused.reasons[1]
    _decide(hospital, job, PHYSICIAN, "refused")
    refused = _judged(hospital, job)
    assert not refused.waits and not refused.accepted and "has refused this job" in refused.reasons[0]


def test_a_rule_that_cannot_be_read_takes_no_job(hospital: Hospital, job: Path) -> None:
    (hospital.kit.local / APPROVAL_FILE).unlink()
    refused = _judged(hospital, job)
    assert not refused.waits and not refused.accepted and "approval policy" in refused.reasons[-1]


def test_a_site_that_declines_the_check_is_not_said_to_decline_the_job(hospital: Hospital, job: Path) -> None:
    policy = hospital.rule(approvals=2)
    said = reason_to_decline(hospital.kit, policy, submission_of_folder(job, "hospital-a"), SCIENTIST)
    asked = not_deployed("hospital-a", f"NVFLARE_ERROR: {said}")
    assert asked.waits and not asked.accepted
    assert "by 2 people of this hospital, unless they have given it" in asked.reasons[0]
    assert "fedvoxel site approve SITE_KIT JOB --sign" in asked.reasons[0]
    other = not_deployed("hospital-a", "privacy scope 'research' is not allowed")
    assert not other.waits and other.reasons == ("refused the deployment: privacy scope 'research' is not allowed",)
