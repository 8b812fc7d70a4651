"""A site signs a log that only grew, refuses any other, and what it signs is its own and of that log."""

import shutil
from pathlib import Path

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.governance.countersigning import Answer, shown_in, taken
from fedvoxel.governance.log_notes import ServerNotes
from fedvoxel.records.audit import AuditLog, FollowedLog
from tests.export.throwaway_root import NOW, Root

from .audited_logs import JOB, SITES, MadeUpRun, made_up_run, rewrite, said

A = SITES[0]


@pytest.fixture
def run(tmp_path: Path) -> MadeUpRun:
    return made_up_run(tmp_path, rounds=2)


def outcomes(run: MadeUpRun, site: str = A) -> list[tuple[str, str]]:
    """What a site's own log says of the heads that it was shown."""
    events = [event for _, event in run.sites[site].read() if event.kind == "countersignature"]
    return [(event.outcome, event.reason) for event in events]


def test_each_round_is_signed_by_each_site_and_both_logs_say_so(run: MadeUpRun) -> None:
    signed = [event for _, event in run.server.read() if event.kind == "countersignature"]
    assert [(event.site, event.round, event.outcome) for event in signed] == [
        (site, index, "done") for index in range(2) for site in SITES
    ]
    assert all(event.signature and event.site_entries for event in signed)
    assert outcomes(run) == [("done", "")] * 2
    assert FollowedLog(run.server, ServerNotes).noted().known[A] == signed[-2].log_entries


def test_the_messages_stay_small(tmp_path: Path) -> None:
    run = made_up_run(tmp_path, rounds=40)
    question = run.question(A, 40)
    assert len(*question.proofs.values()) <= 2 * len(run.server.read()).bit_length()
    assert len(question.model_dump_json()) < 2000 and len(run.answer(A, question).model_dump_json()) < 4000


def test_a_server_that_rewinds_is_noticed(run: MadeUpRun, tmp_path: Path) -> None:
    shutil.copytree(run.folder / "server", tmp_path / "older")
    run.round(2)
    shutil.rmtree(run.folder / "server")
    shutil.copytree(tmp_path / "older", run.folder / "server")
    run.server = AuditLog(run.folder / "server")
    event = run.sign(2)[A]
    assert event.outcome == "refused" and "and is shown one of" in event.reason and event.signature is None
    assert outcomes(run)[-1] == ("refused", event.reason)


def test_a_server_that_forks_its_log_is_noticed_though_it_is_longer(run: MadeUpRun) -> None:
    def another(bodies: list[dict]) -> list[dict]:  # type: ignore[type-arg]
        return [body | ({"reason": "nothing happened"} if body["kind"] == "job" else {}) for body in bodies]

    rewrite(run.file("server"), another)
    run.server = AuditLog(run.folder / "server")
    run.server.record([said("job")] * 3)
    event = run.sign(2)[A]
    assert event.outcome == "refused" and "does not extend" in event.reason
    assert outcomes(run)[-1][0] == "refused", "the site keeps it too"


def test_a_late_site_is_shown_a_proof_from_where_it_was(run: MadeUpRun) -> None:
    lost = run.question(A, 2)
    run.answer(A, lost)  # The site has signed, and its answer never arrives.
    run.server.record([taken(lost, None, A, JOB, run.trust, NOW)])
    refused = run.sign(3)[A]
    assert refused.outcome == "refused" and "no proof that begins there" in refused.reason
    assert run.sign(3)[A].outcome == "done"
    missing = [event for _, event in run.server.read() if event.outcome == "missing"]
    assert [(event.kind, event.reason) for event in missing] == [
        ("countersignature", "no answer in time, or none that can be read")
    ]


def test_a_site_that_has_signed_nothing_yet_signs_whatever_it_is_shown_first(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path)
    run.begin()
    run.round(0, present=SITES[1:])
    assert run.sign(1)[A].outcome == "done"


def test_a_signature_of_another_does_not_count(run: MadeUpRun) -> None:
    question = run.question(A, 2)
    run.identities[A] = run.identities[SITES[1]]
    event = taken(question, run.answer(A, question), A, JOB, run.trust, NOW)
    assert event.outcome == "failed" and "not by hospital-a" in event.reason and event.signature is None


@pytest.mark.parametrize("who", ["a person of that name", "a site of another consortium"])
def test_a_signature_of_another_kind_does_not_count(run: MadeUpRun, who: str) -> None:
    person = who.startswith("a person")
    run.identities[A] = run.root.issue(A, "lead") if person else Root().issue(A, None)
    event = run.sign(2)[A]
    assert event.outcome == "failed" and ("not by" if person else "another consortium") in event.reason


def test_a_signature_of_another_head_does_not_count(run: MadeUpRun) -> None:
    answer = run.answer(A, run.question(A, 2))
    run.server.record([said("job")])
    event = taken(run.question(A, 2), answer, A, JOB, run.trust, NOW)
    assert event.outcome == "failed" and "not hospital-a's of this content" in event.reason


def test_a_signature_says_what_the_sites_own_log_is(run: MadeUpRun) -> None:
    question = run.question(A, 2)
    answer = run.answer(A, question)
    lied = answer.model_copy(update={"own_entries": answer.own_entries + 1})
    assert taken(question, lied, A, JOB, run.trust, NOW).outcome == "failed"


def test_a_refusal_without_words_is_recorded_all_the_same(run: MadeUpRun) -> None:
    event = taken(run.question(A, 2), Answer(known=0), A, JOB, run.trust, NOW)
    assert (event.outcome, event.reason) == ("refused", "no reason given")


def test_an_event_without_a_head_is_no_countersignature() -> None:
    with pytest.raises(ConfigError, match="names no head"):
        shown_in(said("countersignature", site=A))
