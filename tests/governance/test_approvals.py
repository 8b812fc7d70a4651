"""Whose word counts about which content, and what a site therefore takes."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from fedvoxel.errors import ConsortiumError, JobError, LedgerError
from fedvoxel.export.signature import sign
from fedvoxel.governance import approvals
from fedvoxel.governance.approval_gate import reason_to_decline
from fedvoxel.governance.approval_record import Arrival, find_content
from fedvoxel.governance.approvals import Approvals
from fedvoxel.governance.submission import Submission
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.identity import Identity
from fedvoxel.records.revocation import LIST_FILE
from tests.approval_kits import NOW, OFFICER, PHYSICIAN, SCIENTIST, Hospital, blob_submission
from tests.export.throwaway_root import DAY, Root, serial_of

JOB = blob_submission()


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


def says(hospital: Hospital, who: Identity, word: str = "approved", job: Submission = JOB) -> None:
    Approvals(hospital.kit).decide(who, job, "approved" if word == "approved" else "refused", "", NOW)


def declined(
    hospital: Hospital, job: Submission = JOB, submitter: str | None = SCIENTIST, **rule: object
) -> str | None:
    return reason_to_decline(hospital.kit, hospital.rule(**rule), job, submitter)


# ------------------------------------------------------------------ how many, of whom


def test_two_different_people_of_the_hospital_approve(hospital: Hospital) -> None:
    physician, officer = hospital.person(), hospital.person(OFFICER)
    assert "0 of 2 approvals" in str(declined(hospital, approvals=2))
    says(hospital, physician)
    says(hospital, physician)
    assert "1 of 2 approvals" in str(declined(hospital, approvals=2))
    says(hospital, officer)
    assert declined(hospital, approvals=2) is None


def test_a_new_certificate_makes_nobody_a_second_person(hospital: Hospital, tmp_path: Path) -> None:
    says(hospital, hospital.person())
    other = Hospital(tmp_path / "again")
    other.root = hospital.root
    says(hospital, other.person())
    assert "1 of 2 approvals" in str(declined(hospital, approvals=2))


def test_where_nobodys_approval_is_wanted_none_is_asked_for(hospital: Hospital) -> None:
    assert declined(hospital) is None
    assert not hospital.kit.state.exists()
    assert "0 of 1" in str(declined(hospital, cohorts={"blobs": 1}))
    assert declined(hospital, approvals=2, cohorts={"blobs": 0}) is None


@pytest.mark.parametrize("name", ["{hidden}", "{SITE_NAME}", "a{hidden}", ""])
def test_a_cohort_that_only_shows_when_the_job_runs_needs_what_the_strictest_needs(
    hospital: Hospital, name: str
) -> None:
    settings = json.dumps({"hidden": "rare", "executors": [{"executor": {"args": {"cohort": name}}}]}).encode()
    job = replace(JOB, files={"config/config_fed_client.json": settings})
    assert "0 of 2" in str(declined(hospital, job, cohorts={"rare": 2}))


def test_the_submitter_may_be_kept_from_approving(hospital: Hospital) -> None:
    says(hospital, hospital.person())
    assert declined(hospital, submitter=PHYSICIAN, approvals=1) is None
    assert "0 of 1" in str(declined(hospital, submitter=PHYSICIAN, approvals=1, submitter_may_approve=False))
    assert "nobody has signed" in str(declined(hospital, submitter=None, approvals=1))


@pytest.mark.parametrize("training", [{"seed": 8}, {"batch_size": 3}])
def test_an_approval_is_of_one_content(hospital: Hospital, training: dict[str, int]) -> None:
    says(hospital, hospital.person())
    assert declined(hospital, approvals=1) is None
    assert "0 of 1" in str(declined(hospital, blob_submission(**training), approvals=1))
    assert "0 of 1" in str(declined(hospital, replace(JOB, meta={**JOB.meta, "scope": "x"}), approvals=1))


def test_what_people_say_is_in_the_sites_log(hospital: Hospital) -> None:
    says(hospital, hospital.person())
    (event,) = [event for _, event in AuditLog(hospital.kit.state).read()]
    assert (event.task, event.outcome, event.hashes) == ("site approve", "done", {"content": JOB.sha256})
    assert event.actor and (event.actor.name, event.actor.organisation) == (PHYSICIAN, "hospital_a")


def test_another_account_than_the_sites_leaves_nothing_in_its_record(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One approval given as root would otherwise keep the site from ever writing there again."""
    person, owner = hospital.person(), os.geteuid()
    hospital.kit.state.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(LedgerError, match="the record of approvals belongs to account"):
        says(hospital, person)
    assert not list(hospital.kit.state.iterdir())


def test_a_refusal_stands_until_the_same_person_takes_it_back(hospital: Hospital) -> None:
    physician, officer = hospital.person(), hospital.person(OFFICER)
    says(hospital, physician)
    says(hospital, officer, "refused")
    assert "has refused" in str(declined(hospital, approvals=1))
    says(hospital, physician)
    assert "has refused" in str(declined(hospital, approvals=1))
    says(hospital, officer)
    assert declined(hospital, approvals=2) is None


@pytest.mark.parametrize("rule", [{}, {"approvals": 1, "cohorts": {"blobs": 0}}])
@pytest.mark.parametrize("submitter", [SCIENTIST, None])
def test_a_refusal_stands_where_nobodys_approval_is_wanted(
    hospital: Hospital, rule: dict[str, object], submitter: str | None
) -> None:
    says(hospital, hospital.person(), "refused")
    assert "has refused" in str(declined(hospital, submitter=submitter, **rule))
    assert declined(hospital, blob_submission(seed=8), **rule) is None
    says(hospital, hospital.person(OFFICER))
    assert "has refused" in str(declined(hospital, **rule))


# ------------------------------------------------------------------ whose word counts


@pytest.mark.parametrize(
    ("person", "why"),
    [
        ({"organisation": "hospital_b"}, "people of hospital_a decide"),
        ({"role": None, "name": "hospital-a2"}, "is a site"),
        ({"ends": NOW - DAY / 2}, "was not valid"),
        ({"begins": NOW + DAY / 2}, "was not valid"),
        ({"role": "superuser"}, "role that is not known"),
    ],
)
def test_who_is_no_person_of_this_hospital_in_time_cannot_approve(
    hospital: Hospital, person: dict[str, object], why: str
) -> None:
    with pytest.raises(ConsortiumError, match=why):
        says(hospital, hospital.person(**person))  # type: ignore[arg-type]
    assert "0 of 1" in str(declined(hospital, approvals=1))


def test_another_consortiums_person_cannot_approve(hospital: Hospital, tmp_path: Path) -> None:
    with pytest.raises(ConsortiumError, match="another consortium"):
        says(hospital, Hospital(tmp_path / "other").person())


def revoke(hospital: Hospital, who: Identity, since: float, issuer: Root | None = None, ends_days: float = 30) -> None:
    listed = (issuer or hospital.root).revocations(
        {serial_of(who): NOW + since * DAY}, begins=NOW - 2 * DAY, ends=NOW + ends_days * DAY
    )
    (hospital.kit.startup / LIST_FILE).write_bytes(listed.public_bytes(Encoding.PEM))


def test_a_revoked_persons_word_does_not_count(hospital: Hospital) -> None:
    physician = hospital.person()
    says(hospital, physician)
    revoke(hospital, physician, since=1)  # after it was said
    assert declined(hospital, approvals=1) is None
    revoke(hospital, physician, since=-1)
    assert "0 of 1" in str(declined(hospital, approvals=1))
    with pytest.raises(ConsortiumError, match="already revoked"):
        says(hospital, physician)


@pytest.mark.parametrize("taken_back", [False, True])
def test_a_refusal_stands_when_its_certificate_counts_no_more(hospital: Hospital, taken_back: bool) -> None:
    """With a root that is dropped approvals end; a refusal that ended with them would let the job in."""
    physician, officer = hospital.person(), hospital.person(OFFICER)
    says(hospital, physician, "refused")
    if taken_back:
        says(hospital, physician)
    says(hospital, officer)
    assert ("has refused" in str(declined(hospital))) is not taken_back
    hospital.root = Root("small 2", around=NOW)
    hospital.kit.root_certificate.write_bytes(hospital.root.certificate.public_bytes(Encoding.PEM))
    assert "has refused" in str(declined(hospital))
    says(hospital, hospital.person())
    assert "1 of 2" in str(declined(hospital, approvals=2))


def test_a_refusal_stands_when_who_said_it_is_revoked(hospital: Hospital) -> None:
    physician = hospital.person()
    says(hospital, physician, "refused")
    revoke(hospital, physician, since=-1)
    assert "has refused" in str(declined(hospital))


@pytest.mark.parametrize("who", [{"organisation": "consortium"}, {"role": None, "name": "hospital-a2"}])
def test_nobody_elses_refusal_stands(hospital: Hospital, who: dict[str, str | None]) -> None:
    stranger, kept = hospital.person(**{"name": SCIENTIST, **who}), Approvals(hospital.kit)  # type: ignore[arg-type]
    statement = {"site": "hospital-a", "content": JOB.sha256, "job": "blobs", "word": "refused", "reason": ""}
    signature = sign(stranger, "job approval", canonical_json(statement), NOW)
    kept._chain.append({"kind": "decided", "statement": statement, "signature": signature.model_dump(mode="json")})
    assert declined(hospital) is None


def test_a_list_that_is_out_of_date_is_asked_about_approvals_of_this_content_only(hospital: Hospital) -> None:
    physician = hospital.person()
    says(hospital, physician, "approved", blob_submission(seed=9))
    revoke(hospital, physician, since=1, ends_days=-1)
    assert declined(hospital) is None
    with pytest.raises(ConsortiumError, match="not now"):
        declined(hospital, blob_submission(seed=9))


def test_a_revocation_list_that_cannot_be_relied_on_lets_nothing_in(hospital: Hospital) -> None:
    physician = hospital.person()
    says(hospital, physician)
    revoke(hospital, physician, since=1, ends_days=-1)
    with pytest.raises(ConsortiumError, match="not now"):
        declined(hospital, approvals=1)
    revoke(hospital, physician, since=1, issuer=Root())
    with pytest.raises(ConsortiumError, match="not signed by this root"):
        declined(hospital, approvals=1)


# ------------------------------------------------------------------ what somebody could write


def lines_of(hospital: Hospital) -> Path:
    return hospital.kit.state / "approvals" / "approvals.jsonl"


def test_a_changed_record_lets_nothing_in(hospital: Hospital) -> None:
    says(hospital, hospital.person())
    path = lines_of(hospital)
    path.write_text(path.read_text().replace('"approved"', '"Approved"'))
    with pytest.raises(LedgerError):
        declined(hospital, approvals=1)


@pytest.mark.parametrize("change", [{"site": "hospital-b"}, {"content": "0" * 64}, {"word": "refused"}, {"more": "a"}])
def test_a_statement_that_was_not_signed_does_not_count(hospital: Hospital, change: dict[str, str]) -> None:
    """Whoever can write the record can make a chain that holds; only a person's key makes a statement."""
    physician, kept = hospital.person(), Approvals(hospital.kit)
    says(hospital, physician, "approved", blob_submission(seed=9))
    body = json.loads(lines_of(hospital).read_text().splitlines()[-1])["body"]
    kept._chain.append({**body, "statement": {**body["statement"], **change}})
    assert len(kept.read().decisions) == 1


@pytest.mark.parametrize("who", [{"organisation": "consortium"}, {"role": None, "name": "hospital-a2"}])
def test_a_word_of_somebody_elses_that_stands_in_the_record_does_not_count(
    hospital: Hospital, who: dict[str, str | None]
) -> None:
    stranger, kept = hospital.person(**{"name": SCIENTIST, **who}), Approvals(hospital.kit)  # type: ignore[arg-type]
    statement = {"site": "hospital-a", "content": JOB.sha256, "job": "blobs", "word": "approved", "reason": ""}
    signature = sign(stranger, "job approval", canonical_json(statement), NOW)
    kept._chain.append({"kind": "decided", "statement": statement, "signature": signature.model_dump(mode="json")})
    assert kept.read().decisions == ()
    assert "0 of 1" in str(declined(hospital, approvals=1))


def test_a_signed_statement_whose_parts_are_no_words_does_not_count(hospital: Hospital) -> None:
    physician, kept = hospital.person(), Approvals(hospital.kit)
    statement = {"site": "hospital-a", "content": [JOB.sha256], "job": "blobs", "word": "approved", "reason": ""}
    signature = sign(physician, "job approval", canonical_json(statement), NOW)
    kept._chain.append({"kind": "decided", "statement": statement, "signature": signature.model_dump(mode="json")})
    assert kept.read().contents == ()


def test_a_kept_job_that_was_changed_is_not_shown(hospital: Hospital) -> None:
    says(hospital, hospital.person())
    kept = Approvals(hospital.kit)
    assert kept.content(JOB.sha256) == JOB
    place = hospital.kit.state / "approvals" / "jobs" / f"{JOB.sha256}.json"
    place.write_text(place.read_text().replace("blobs", "blob5", 1))
    with pytest.raises(JobError, match="was changed"):
        kept.content(JOB.sha256)
    place.unlink()
    with pytest.raises(JobError, match="missing"):
        kept.content(JOB.sha256)


# ------------------------------------------------------------------ what came


def arrive(hospital: Hospital, job: Submission, submitter: str = SCIENTIST) -> bool:
    arrival = Arrival(job.sha256, job.name, "1", submitter, "consortium")
    return Approvals(hospital.kit).keep_arrival(arrival, job)


def test_what_comes_again_and_again_is_noted_once(hospital: Hospital) -> None:
    assert arrive(hospital, JOB) and arrive(hospital, JOB) and arrive(hospital, JOB, "other@consortium.example")
    record = Approvals(hospital.kit).read()
    assert [each.submitter for each in record.arrivals] == [SCIENTIST, "other@consortium.example"]
    assert record.contents == (JOB.sha256,)


def test_nobody_fills_the_disk_with_jobs_that_wait(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approvals, "MOST_PENDING", 2)
    jobs = [blob_submission(seed=seed) for seed in range(3)]
    assert [arrive(hospital, job) for job in jobs] == [True, True, False]
    says(hospital, hospital.person(), "refused", jobs[0])
    assert arrive(hospital, jobs[2])


def anything(content: str) -> bool:
    return True


def test_the_last_approved_version_is_the_last_that_stands(hospital: Hospital) -> None:
    physician = hospital.person()
    first, second, third = (blob_submission(seed=seed) for seed in range(3))
    for job in (first, second):
        says(hospital, physician, "approved", job)
    record = Approvals(hospital.kit).read()
    assert record.last_approved("blobs", but=third.sha256, stands=anything) == second.sha256
    assert record.last_approved("blobs", but=second.sha256, stands=anything) == first.sha256
    assert record.last_approved("other", but=third.sha256, stands=anything) is None
    says(hospital, physician, "refused", second)
    assert Approvals(hospital.kit).read().last_approved("blobs", but=third.sha256, stands=anything) == first.sha256


def test_a_job_is_named_by_the_beginning_of_its_hash(hospital: Hospital) -> None:
    arrive(hospital, JOB)
    record = Approvals(hospital.kit).read()
    assert find_content(record, JOB.sha256[:8]) == JOB.sha256
    for wrong in ("", JOB.sha256[:7], "0" * 8):
        with pytest.raises(JobError, match="site approvals"):
            find_content(record, wrong)


# ------------------------------------------------------------------ code


def with_code(text: str) -> Submission:
    return replace(JOB, files={**JOB.files, "custom/a.py": text.encode()})


def test_code_is_taken_where_the_rule_says_so_and_a_person_approved_it(hospital: Hospital) -> None:
    job = with_code("import torch\n")
    says(hospital, hospital.person(), "approved", job)
    assert declined(hospital, job) == "this hospital takes no job with code"
    assert declined(hospital, job, code="approved") is None
    assert "0 of 1" in str(declined(hospital, with_code("import torch \n"), code="approved"))


def test_code_that_cannot_be_followed_is_refused_whoever_approved_it(hospital: Hospital) -> None:
    job = with_code("eval('1')\n")
    says(hospital, hospital.person(), "approved", job)
    assert "lets nobody approve" in str(declined(hospital, job, code="approved"))


def test_settings_that_cannot_be_read_are_not_taken(hospital: Hospital) -> None:
    with pytest.raises(JobError, match="no JSON"):
        declined(hospital, replace(JOB, files={"config/config_fed_client.json": b"{"}))
