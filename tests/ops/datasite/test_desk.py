"""What the hospital's desk runs, what leaves by it, and what it refuses; the box is a fake, the evaluation is real."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import (
    CohortError,
    ConfigError,
    ConsortiumError,
    FedVoxelError,
    JobError,
    LockedError,
    PackageError,
)
from fedvoxel.evaluation.judgement.told import FILE, FOLDER
from fedvoxel.export.trust import Trust
from fedvoxel.governance.incidents.switches import halt
from fedvoxel.ops.datasite import desk as desk_module
from fedvoxel.ops.datasite.answer import SignedAnswer, answer_file, read_answer
from fedvoxel.ops.datasite.desk import Desk
from fedvoxel.ops.datasite.evaluating import Means
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_lock import writers_lock
from tests.approval_kits import OFFICER, PHYSICIAN, SCIENTIST
from tests.evaluation.judgement.made_up import NAME, package
from tests.export.throwaway_root import Root
from tests.ops.datasite.asked_hospital import OPEN, AskedHospital, FakeBox, answer_of, asked_file, desk_of, no_progress

MEANS = Means(threads=1)


@pytest.fixture
def hospital(tmp_path: Path) -> AskedHospital:
    return AskedHospital(tmp_path)


@pytest.fixture
def box(hospital: AskedHospital) -> FakeBox:
    made = FakeBox()
    made.put(asked_file(hospital))
    return made


def approve(hospital: AskedHospital, desk: Desk, number: int = 0) -> None:
    asked = desk.look()[number].asked
    assert asked is not None
    desk.record.rule(hospital.physician, asked, "approved", "IRB-2026-17", datetime.now(UTC))


def run(hospital: AskedHospital, desk: Desk, number: int = 0) -> str:
    return desk.run(desk.look()[number], hospital.index, MEANS, no_progress)


def events(hospital: AskedHospital) -> list[tuple[str, str, str]]:
    return [
        (event.actor.name if event.actor else "", event.task, event.outcome)
        for _, event in AuditLog(hospital.kit.state).read()
    ]


def refused(hospital: AskedHospital, box: FakeBox, kind: type[FedVoxelError], words: str) -> None:
    """Checks that a run of what is approved ends so, that nothing left, and that the site's log knows."""
    with pytest.raises(kind, match=words):
        run(hospital, desk_of(hospital, box))
    assert box.answers == {}
    assert events(hospital)[-1] == ("", "evaluation", "refused")


def test_only_the_approved_aggregate_leaves(hospital: AskedHospital, box: FakeBox) -> None:
    desk = desk_of(hospital, box)
    approve(hospital, desk)
    assert run(hospital, desk) == "returned"
    file = box.answers["evaluation"]
    said, (one,) = answer_of(file), desk.look()
    assert said["use"] == "For research use only." and said["aggregate"]["patients"] == 6
    assert [structure["name"] for structure in said["aggregate"]["structures"]] == ["anterior", "posterior"]
    assert all(set(structure) == {"name", "label", "dice"} for structure in said["aggregate"]["structures"])
    assert 0.9 < said["aggregate"]["structures"][0]["dice"]["value"] < 1
    text = file.decode()
    site = json.loads((hospital.kit.local / "fedvoxel_site.json").read_text())
    assert not [word for word in (NAME, "case-", "nii", str(hospital.folder), site["pseudonym_key"]) if word in text]
    assert one.asked and one.standing and one.standing.word == "returned"
    read_answer(file, one.asked, Trust(hospital.people.root.certificate), datetime.now(UTC))
    assert events(hospital) == [
        (SCIENTIST, "datasite ask", "done"),
        (PHYSICIAN, "datasite approve", "done"),
        ("", "evaluation", "done"),
    ]
    last = AuditLog(hospital.kit.state).read()[-1][1]
    assert set(last.hashes) == {"content", "policy", "answer"} and last.hashes["content"] == one.asked.content
    assert (hospital.kit.state / "evaluation_requests" / "answers" / f"{one.asked.content}.json").read_bytes() == file


def test_what_was_asked_for_is_what_is_told(hospital: AskedHospital, box: FakeBox) -> None:
    box.put(asked_file(hospital, metrics=["counts", "volume", "hd95", "nsd"], split="all"))
    desk = desk_of(hospital, box)
    approve(hospital, desk)
    run(hospital, desk)
    (first, _) = answer_of(box.answers["evaluation"])["aggregate"]["structures"]
    told = {"nsd", "hd95_mm", "volume_error_ml", "volume_error_percent", "counts"}
    assert set(first) == told | {"name", "label"} and first["counts"] == {
        "found": 6, "misplaced": 0, "missed": 0, "false_alarms": 0,
    }  # fmt: skip


def test_nothing_runs_without_an_approval_or_after_a_rejection(hospital: AskedHospital, box: FakeBox) -> None:
    desk = desk_of(hospital, box)
    with pytest.raises(JobError, match="is waiting, not approved"):
        run(hospital, desk)
    approve(hospital, desk)
    (found,) = desk.look()
    assert found.asked
    desk.record.rule(hospital.physician, found.asked, "refused", "not this cohort", datetime.now(UTC))
    desk.reject(found)
    with pytest.raises(JobError, match="is refused, not approved"):
        run(hospital, desk)
    assert box.answers == {} and box.lying[0].status == "rejected"
    assert (PHYSICIAN, "datasite reject", "done") in events(hospital)


def test_one_approval_is_good_for_one_answer(
    hospital: AskedHospital, box: FakeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_of(hospital, box)
    approve(hospital, desk)
    run(hospital, desk)
    first, judged = box.answers["evaluation"], []
    real = desk_module.judge

    def counted(*words: object) -> object:
        judged.append(words)
        return real(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(desk_module, "judge", counted)
    assert run(hospital, desk) == "nothing to do" and judged == []
    assert box.answers["evaluation"] == first
    approve(hospital, desk)
    assert run(hospital, desk) == "returned" and len(judged) == 1
    assert answer_of(box.answers["evaluation"]) == answer_of(first)


def test_an_answer_that_did_not_get_out_is_handed_over_by_the_next_run(hospital: AskedHospital, box: FakeBox) -> None:
    desk = desk_of(hospital, box)
    approve(hospital, desk)
    box.broken = True
    with pytest.raises(JobError, match="the share is away"):
        run(hospital, desk)
    box.broken = False
    halt(hospital.kit.state)
    with pytest.raises(JobError, match="stopped here for an incident"):
        run(hospital, desk)
    (hospital.kit.state / "halted").unlink()
    hospital.policy({"unit": "none"})
    refused(hospital, box, ConfigError, "lets nothing of an evaluation")
    hospital.policy(OPEN | {"evaluations": {"minimum_patients": 6}})
    refused(hospital, box, CohortError, "6 are the least now")
    hospital.policy(OPEN)
    assert run(hospital, desk) == "handed over again" and events(hospital)[-1] == ("", "evaluation", "done")
    (kept,) = (hospital.kit.state / "evaluation_requests" / "answers").glob("*.json")
    assert box.answers["evaluation"] == kept.read_bytes()
    kept.unlink()
    with pytest.raises(JobError, match="approve the request again"):
        run(hospital, desk)


def test_a_request_that_was_changed_after_the_approval_does_not_run(hospital: AskedHospital, box: FakeBox) -> None:
    desk = desk_of(hospital, box)
    approve(hospital, desk)
    (before,) = desk.look()
    assert before.asked
    box.put(asked_file(hospital, id=before.asked.request.id, split="all"))
    with pytest.raises(JobError, match="is waiting, not approved"):
        run(hospital, desk)
    assert desk.changed(desk.look()) == (before.asked.content,)
    with pytest.raises(JobError, match="was approved, and is not in the box as it was"):
        desk.find(before.asked.content[:12])
    # The same words in other bytes are another file, too.
    box.put(before.letter.file.replace(b"\n", b"\n ") if before.letter.file else b"")
    assert desk.look_and_lapse()[1] == (before.asked.content,) and box.answers == {}
    assert events(hospital)[-1] == ("", "evaluation", "refused")
    # It does not count again when the old bytes come back.
    box.put(before.letter.file or b"")
    assert desk.look_and_lapse()[1] == ()
    with pytest.raises(JobError, match="is waiting, not approved"):
        run(hospital, desk)
    approve(hospital, desk)
    assert run(hospital, desk) == "returned"


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"cohort": "hearts"}, ConfigError, "no entry for cohort 'hearts'"),
        ({"split": "training"}, CohortError, "no case of the training split"),
        ({"version": "1.0.1"}, PackageError, "calls its package hippocampus 1.0.1, and it is hippocampus 1.0.0"),
        ({"package": "0" * 64}, PackageError, "is not in the index of releases"),
    ],
)
def test_what_the_hospital_does_not_have_is_refused(
    hospital: AskedHospital, box: FakeBox, changes: dict[str, str], kind: type[FedVoxelError], words: str
) -> None:
    box.put(asked_file(hospital, **changes))
    approve(hospital, desk_of(hospital, box))
    refused(hospital, box, kind, words)


def test_a_withdrawn_package_is_refused(hospital: AskedHospital, box: FakeBox) -> None:
    approve(hospital, desk_of(hospital, box))
    hospital.withdraw()
    refused(hospital, box, PackageError, "was withdrawn by lead@consortium.example")


def test_another_package_in_its_place_is_refused(hospital: AskedHospital, box: FakeBox) -> None:
    approve(hospital, desk_of(hospital, box))
    package(hospital.index / "packages", identity=hospital.lead, now=datetime.now(UTC), title="Another")
    refused(hospital, box, PackageError, "another package than the one that was asked for")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"unit": "none"}, "lets nothing of an evaluation of cohort 'brains' leave"),
        ({"unit": "patient", "epsilon": 8, "delta": 0.001}, "a cohort with a budget has none"),
    ],
)
def test_the_hospitals_policy_decides(
    hospital: AskedHospital, box: FakeBox, entry: dict[str, object], words: str
) -> None:
    approve(hospital, desk_of(hospital, box))
    hospital.policy(entry)
    refused(hospital, box, ConfigError, words)


def test_too_few_patients_are_refused_before_and_after_they_are_judged(hospital: AskedHospital, box: FakeBox) -> None:
    approve(hospital, desk_of(hospital, box))
    hospital.policy(OPEN | {"evaluations": {"minimum_patients": 7}})
    refused(hospital, box, CohortError, "has fewer than 7 patients")
    hospital.policy(OPEN | {"evaluations": {"minimum_patients": 6}})
    (hospital.folder / "scans" / f"{NAME}-1_image.nii.gz").write_bytes(b"no scan")
    refused(hospital, box, CohortError, "fewer than 6 patients could be judged")


def test_two_answers_do_not_tell_of_one_patient(hospital: AskedHospital, box: FakeBox) -> None:
    desk = desk_of(hospital, box)
    approve(hospital, desk)
    run(hospital, desk)
    box.answers.clear()
    hospital.leave_out(1)
    box.put(asked_file(hospital))
    approve(hospital, desk)
    refused(hospital, box, CohortError, "with what this site has told before")


def test_a_cohort_whose_patients_nobody_can_count_is_refused(hospital: AskedHospital, box: FakeBox) -> None:
    approve(hospital, desk_of(hospital, box))
    path = hospital.kit.local / "fedvoxel_site.json"
    site = json.loads(path.read_text())
    site["cohorts"]["brains"].pop("one_scan_per_patient")
    path.write_text(json.dumps(site))
    refused(hospital, box, CohortError, "nobody can tell how many patients it has")


def test_what_is_stopped_or_refused_while_it_is_judged_does_not_leave(
    hospital: AskedHospital, box: FakeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_of(hospital, box)
    approve(hospital, desk)
    real, (found,) = desk_module.judge, desk.look()

    def meanwhile(*words: object) -> object:
        assert found.asked
        desk.record.rule(hospital.physician, found.asked, "refused", "stop", datetime.now(UTC))
        return real(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(desk_module, "judge", meanwhile)
    refused(hospital, box, JobError, "is refused, not approved")


@pytest.mark.parametrize(
    ("meanwhile", "kind", "words"),
    [
        (lambda hospital, box: hospital.withdraw(), PackageError, "was withdrawn"),
        (lambda hospital, box: hospital.policy({"unit": "none"}), ConfigError, "lets nothing of an evaluation"),
        (
            lambda hospital, box: hospital.policy(OPEN | {"evaluations": {"minimum_patients": 6}}),
            CohortError,
            "may hold numbers of 5 patients; 6 are the least now",
        ),
        (lambda hospital, box: box.set("evaluation", "rejected"), JobError, "was rejected in Syft"),
        (lambda hospital, box: box.set("evaluation", "failed"), JobError, "is failed in the box"),
        (lambda hospital, box: box.lying.clear(), JobError, "is gone in the box"),
    ],
)
def test_what_changes_while_it_is_judged_lets_nothing_out_and_nothing_counts_as_told(
    hospital: AskedHospital,
    box: FakeBox,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[AskedHospital, FakeBox], None],
    kind: type[FedVoxelError],
    words: str,
) -> None:
    desk = desk_of(hospital, box)
    approve(hospital, desk)
    real = desk_module.judge

    def judge(*given: object) -> object:
        meanwhile(hospital, box)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(desk_module, "judge", judge)
    refused(hospital, box, kind, words)
    assert Chain(hospital.kit.state / FOLDER / FILE).read() == []


def test_what_comes_and_is_approved_while_we_look_does_not_lapse(
    hospital: AskedHospital, box: FakeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, before = desk_of(hospital, box), list(box.lying)
    box.put(asked_file(hospital, split="all"), job="second")
    listed = list(box.lying)
    approve(hospital, desk, 1)
    unanswered = desk.record.unanswered
    box.lying = before

    def approved_meanwhile() -> tuple[str, ...]:
        box.lying = listed
        return unanswered()

    monkeypatch.setattr(desk.record, "unanswered", approved_meanwhile)
    assert desk.look_and_lapse()[1] == ()


def test_no_approval_lapses_where_a_file_or_the_list_of_revoked_certificates_cannot_be_read(
    hospital: AskedHospital, box: FakeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_of(hospital, box)
    approve(hospital, desk)
    (letter,) = box.lying
    box.lying = [replace(letter, file=None, unreadable=True)]
    assert desk.look_and_lapse()[1] == ()

    def out_of_date(*given: object) -> object:
        raise ConsortiumError("the revocation list is out of date")

    box.lying = [letter]
    monkeypatch.setattr(desk_module, "read_request", out_of_date)
    with pytest.raises(ConsortiumError, match="out of date"):
        desk.look_and_lapse()
    monkeypatch.undo()
    assert run(hospital, desk) == "returned", "the approval counts still"


def test_a_halted_site_runs_nothing(hospital: AskedHospital, box: FakeBox) -> None:
    approve(hospital, desk_of(hospital, box))
    halt(hospital.kit.state)
    refused(hospital, box, JobError, "all jobs are stopped here")


def test_a_second_process_waits_its_turn(
    hospital: AskedHospital, box: FakeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_of(hospital, box)
    approve(hospital, desk)
    monkeypatch.setattr(desk_module, "_LOCK_TIMEOUT_S", 0.0)
    lock = hospital.kit.state / "evaluation_requests" / "answers" / "evaluation"
    with writers_lock(lock, 1), pytest.raises(LockedError):
        run(hospital, desk)
    assert run(hospital, desk) == "returned"


def test_who_may_decide_and_how_many_must(hospital: AskedHospital, box: FakeBox) -> None:
    desk = desk_of(hospital, box)
    (found,) = desk.look()
    assert found.asked
    for stranger in (hospital.scientist, hospital.people.root.issue("hospital-a", None, organisation="hospital_a")):
        with pytest.raises(ConsortiumError, match="cannot decide here"):
            desk.record.rule(stranger, found.asked, "approved", "", datetime.now(UTC))
    hospital.people.rule(approvals=2)
    approve(hospital, desk)
    assert desk.record.standing(found.asked).word == "waiting"
    desk.record.rule(hospital.people.person(OFFICER), found.asked, "approved", "", datetime.now(UTC))
    assert desk.record.standing(found.asked).word == "approved"


def test_who_asks_does_not_approve_where_the_rule_says_so(hospital: AskedHospital, box: FakeBox) -> None:
    box.put(asked_file(hospital, by=hospital.physician), sender=PHYSICIAN)
    desk = desk_of(hospital, box)
    approve(hospital, desk)
    (found,) = desk.look()
    assert found.asked and found.standing and found.standing.word == "approved"
    hospital.people.rule(submitter_may_approve=False)
    assert desk.record.standing(found.asked).word == "waiting"


def test_an_approval_of_a_revoked_certificate_does_not_count_and_its_refusal_does(
    hospital: AskedHospital, box: FakeBox
) -> None:
    desk = desk_of(hospital, box)
    approve(hospital, desk)
    (found,) = desk.look()
    assert found.asked and found.standing and found.standing.word == "approved"
    officer = hospital.people.person(OFFICER)
    desk.record.rule(officer, found.asked, "refused", "not now", datetime.now(UTC))
    hospital.people.revoke(hospital.physician, officer)
    standing = desk.record.standing(found.asked)
    assert standing.word == "refused" and [said.person for said in standing.said] == [OFFICER]


def test_what_is_no_request_of_a_person_is_invalid(hospital: AskedHospital, box: FakeBox) -> None:
    desk, good = desk_of(hospital, box), asked_file(hospital)
    site = hospital.people.root.issue("hospital-a", None)
    for file, sender, words in (
        (b"#!/bin/sh\ncat /etc/passwd\n", SCIENTIST, "cannot be read as JSON"),
        (good.replace(b'"dice"', b'"scans"'), SCIENTIST, "request.metrics.0"),
        (good.replace(b'"test"', b'"all"'), SCIENTIST, "was changed, or another signed"),
        (good.replace(b'"cohort"', b'"path"'), SCIENTIST, "request.path"),
        (good, "somebody@else.example", "in the folder of another person"),
        (asked_file(hospital, by=site), "hospital-a", "a site: a person of the consortium asks"),
        (asked_file(hospital, by=Root().issue(SCIENTIST)), SCIENTIST, "another consortium"),
        (asked_file(hospital, site="hospital-b"), SCIENTIST, "for site hospital-b"),
    ):
        box.put(file, sender=sender)
        (found,) = desk.look()
        assert found.asked is None and found.problem and words in found.problem, words
        with pytest.raises(JobError, match="no request that could run"):
            run(hospital, desk)
    assert box.answers == {} and events(hospital) == []


def test_an_answer_is_good_for_its_request_and_of_its_site_only(hospital: AskedHospital, box: FakeBox) -> None:
    desk = desk_of(hospital, box)
    approve(hospital, desk)
    run(hospital, desk)
    file, trust, now = box.answers["evaluation"], Trust(hospital.people.root.certificate), datetime.now(UTC)
    (found,) = desk.look()
    assert found.asked
    asked = found.asked
    with pytest.raises(PackageError, match="another request"):
        read_answer(file, replace(asked, content="0" * 64), trust, now)
    with pytest.raises(PackageError, match="another request"):
        read_answer(file, replace(asked, request=asked.request.model_copy(update={"split": "all"})), trust, now)
    elsewhere = asked.request.model_copy(update={"site": "hospital-b"})
    other, told = hospital.people.root.issue("hospital-b", None), parse_config(SignedAnswer, json.loads(file), "it")
    of_another = answer_file(replace(asked, request=elsewhere), told.answer.aggregate, other, now)
    with pytest.raises(PackageError, match="not by site hospital-a"):
        read_answer(of_another, asked, trust, now)
    better = json.loads(file)
    better["answer"]["aggregate"]["structures"][0]["dice"]["value"] = 1.0
    with pytest.raises(PackageError, match="was changed, or another signed"):
        read_answer(json.dumps(better).encode(), asked, trust, now)
    more = json.loads(file)
    more["answer"]["aggregate"]["cases"] = ["case-1"]
    with pytest.raises(ConfigError, match=r"aggregate\.cases"):
        read_answer(json.dumps(more).encode(), asked, trust, now)
