"""What a site that leaves has been part of, and which models alone are certified to exclude it."""

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from fedvoxel.errors import ConfigError, ConsortiumError, LedgerError, PackageError
from fedvoxel.export.origin import ModelOrigin
from fedvoxel.export.trust import Trust
from fedvoxel.federation.kept_models import BEFORE_JOINING, KeptModels
from fedvoxel.federation.outcome import OUTCOME_FILE, RoundRecord, RunOutcome, load_outcome, write_outcome
from fedvoxel.flare.run_audit import RunAudit
from fedvoxel.governance.withdrawal import Findings, find, restarts
from fedvoxel.governance.withdrawal_certificate import RevokedCertificate, WithdrawalCertificate, WithdrawalStatement
from fedvoxel.governance.withdrawal_issue import Releases, issue, verdict_on_model, verify_certificate
from fedvoxel.governance.withdrawal_log import ServerLog
from fedvoxel.governance.withdrawal_releases import verdict_on
from fedvoxel.records.audit import AUDIT_FILE, AuditLog
from fedvoxel.records.audit_event import AuditEvent
from fedvoxel.updates.weights_file import to_bytes
from tests.export.throwaway_root import NOW, Root, serial_of
from tests.flare.test_controller import MODEL, run_sites, well_behaved
from tests.governance.audited_logs import MadeUpRun, made_up_run, rewrite, said, sha
from tests.late_sites import joining, looking_on, never
from tests.sample_run import STARTED
from tests.signed_log import sign_log

A, B, C, D = "hospital-a", "hospital-b", "hospital-c", "hospital-d"
REVOKED = (RevokedCertificate(serial="AB12", revoked="2026-03-01T09:30:00Z"),)


@pytest.fixture(scope="module")
def root() -> Root:
    """The consortium's root."""
    return Root()


def signed(server: Path, root: Root) -> Path:
    """Has the hospitals that run jobs here countersign the server's log, and returns the server's folder."""
    with TemporaryDirectory() as own:
        sites = {site: root.issue(site, None) for site in (A, B, C, D)}
        sign_log(server / "state", sites, Trust(root.certificate), NOW, Path(own))
    return server


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, root: Root) -> Path:
    """A server with a run that hospital-c joined in round 2 of 4, and hospital-d in round 3."""
    folder = tmp_path_factory.mktemp("server")
    run_sites(folder, {A: well_behaved, B: well_behaved, C: joining(2), D: joining(3)}, num_rounds=4)
    return signed(folder, root)


@pytest.fixture
def server(served: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(served, tmp_path / "server"))


def next_run(server: Path, run_key: str, number: int, answers: Any = None, start: Any = None) -> RunOutcome:
    """Runs another job on the server, without hospital-c unless it is among the answers."""
    said = {"run_key": run_key, "job_id": f"job-{number}", "start_from": start}
    return run_sites(server, answers or {A: well_behaved, B: well_behaved}, **said)


def found(server: Path, root: Root, site: str = C) -> Findings:
    return find(site, server / "state", root.certificate, NOW)


def state(server: Path, run_key: str = "a_run") -> Path:
    return server / "state/runs" / run_key


# ------------------------------------------------------------------ what holds updates of a site


def test_models_from_its_first_round_on_hold_a_site_and_those_before_exclude_it(server: Path, root: Root) -> None:
    (run,) = found(server, root).runs
    outcome = load_outcome(state(server) / OUTCOME_FILE)
    assert (run.run_key, run.jobs, run.part, run.joined_round, run.trained_round) == (
        "a_run",
        ("job-1",),
        "trained",
        2,
        2,
    )
    assert outcome.model and outcome.model.sha256 in run.contaminated and len(run.contaminated) == 2
    models = {record.round: record.sha256 for record in KeptModels(state(server)).read(4)}
    assert [(one.round, one.sha256, one.sites) for one in run.excluding] == [(0, models[0], ()), (2, models[2], (A, B))]
    assert dict(restarts(found(server, root))) == {"a_run": {"run_key": "a_run", "before_site": C}}


def test_who_was_asked_and_never_taken_has_nothing_to_do_with_a_run(tmp_path: Path, root: Root) -> None:
    run_sites(tmp_path, {A: well_behaved, B: well_behaved, C: never})
    assert found(tmp_path, root).runs == () and found(tmp_path, root).others == ("job-1",)


def test_who_only_scored_is_in_no_model_and_what_its_scores_may_have_steered_is_not_certified(
    tmp_path: Path, root: Root
) -> None:
    run_sites(tmp_path, {A: well_behaved, B: well_behaved, C: looking_on})
    (run,) = found(signed(tmp_path, root), root).runs
    assert (run.part, run.contaminated, run.trained_round, run.joined_round) == ("beside", (), None, 0)
    assert [one.round for one in run.excluding] == [0]


def test_who_gave_the_first_model_is_sent_back_to_the_seed(server: Path, root: Root) -> None:
    (run,) = found(server, root, A).runs
    assert (run.part, run.joined_round, run.trained_round, run.excluding) == ("trained", None, 0, ())
    assert "begin anew from the job's seed" in str(run.none_because)
    (run,) = found(server, root, B).runs
    assert [one.round for one in run.excluding] == [0], "another site gave it"


def test_an_outcome_that_does_not_say_who_gave_the_first_model_certifies_nothing(server: Path, root: Root) -> None:
    change(server, first_model_from=None)
    assert "first model, or that is not known" in str(found(server, root).runs[0].none_because)


def test_a_run_that_began_with_such_a_model_holds_the_site_as_a_whole(server: Path, root: Root) -> None:
    second = next_run(server, "second", 2, start="a_run")
    third = next_run(server, "third", 3, start="second")
    runs = {run.run_key: run for run in found(server, root).runs}
    assert {key: run.part for key, run in runs.items()} == dict.fromkeys(("second", "third"), "inherited") | {
        "a_run": "trained"
    }
    for key, outcome in {"second": second, "third": third}.items():
        assert outcome.model and outcome.model.sha256 in runs[key].contaminated
        assert not runs[key].excluding and "the last model of run" in str(runs[key].none_because)


def test_a_run_that_began_from_before_the_site_does_not_hold_it(server: Path, root: Root) -> None:
    next_run(server, "again", 2, start={"run_key": "a_run", "before_site": C})
    next_run(server, "after_that", 3, start="again")
    assert [run.run_key for run in found(server, root).runs] == ["a_run"]
    assert found(server, root).others == ("job-3", "job-2")


def test_a_run_from_before_one_site_still_holds_another(server: Path, root: Root) -> None:
    next_run(server, "again", 2, {A: well_behaved, B: well_behaved}, {"run_key": "a_run", "before_site": C})
    runs = {run.run_key: run for run in found(server, root, B).runs}
    assert runs["again"].part == "inherited"


def test_a_run_that_goes_back_to_one_that_is_gone_is_unknown(server: Path, root: Root) -> None:
    next_run(server, "second", 2, start="a_run")
    shutil.rmtree(state(server))
    findings = found(server, root)
    assert [(run.run_key, run.part, run.excluding) for run in findings.runs] == [("second", "unknown", ())]
    assert [(lost.jobs, lost.run_key, len(lost.contaminated)) for lost in findings.lost_runs] == [
        (("job-1",), "a_run", 2)
    ]
    shutil.rmtree(state(server, "second"))
    assert [(lost.jobs, len(lost.contaminated)) for lost in found(server, root).lost_runs] == [
        (("job-1",), 2),
        (("job-2",), 2),
    ], "by the log alone it is known with what the second began"


def test_a_run_whose_key_another_took_is_not_mistaken_for_it(server: Path, root: Root) -> None:
    next_run(server, "second", 2, start="a_run")
    run_sites(server, {A: well_behaved, B: well_behaved}, num_rounds=3, job_id="job-3")
    findings = found(server, root)
    assert [(run.run_key, run.part) for run in findings.runs] == [("second", "unknown")]
    assert [lost.jobs for lost in findings.lost_runs] == [("job-1",)]


def test_of_a_lost_run_all_attempts_after_the_sites_answer_hold_it(tmp_path: Path, root: Root) -> None:
    log = AuditLog(tmp_path / "state")
    log.record([
        said("run", "started", hashes={"model": sha(0)}),
        said("answer", task="train", round=0, site=C, hashes={"update": sha(9)}),
        said("round", round=0, hashes={"model_before": sha(0), "model": sha(1)}),
        said("run", "resumed", job_id="job-2", hashes={"model": sha(1)}),
        said("answer", task="train", round=1, site=A, job_id="job-2"),
        said("round", round=1, job_id="job-2", hashes={"model_before": sha(1), "model": sha(2)}),
        said("run", "started", job_id="job-3", hashes={"model": sha(0)}),
        said("round", round=0, job_id="job-3", hashes={"model_before": sha(0), "model": sha(3)}),
    ])  # fmt: skip
    (lost,) = found(tmp_path, root).lost_runs
    assert (lost.jobs, lost.contaminated) == (("job-1", "job-2"), (sha(1), sha(2)))


def lost_after(folder: Path, root: Root, *events: AuditEvent) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    """Returns jobs and models of the runs that hold hospital-c, of which a log of these events alone is left."""
    AuditLog(folder / "state").record([said("run", "started", hashes={"model": sha(0)}), *events])
    return tuple((lost.jobs, lost.contaminated) for lost in found(folder, root).lost_runs)


def closed(index: int, job_id: str = "job-1") -> AuditEvent:
    hashes = {"model_before": sha(index), "model": sha(index + 1)}
    return said("round", round=index, job_id=job_id, hashes=hashes)


UPDATE = said("answer", task="train", round=0, site=C, hashes={"update": sha(9)})
SCORES = said("answer", task="train", round=0, site=C)


def test_a_lost_run_in_which_the_site_only_scored_holds_nothing_of_it(tmp_path: Path, root: Root) -> None:
    assert lost_after(tmp_path, root, SCORES, closed(0)) == ()


@pytest.mark.parametrize(
    ("model", "lost"), [(1, ((("job-1", "job-2"), (sha(1), sha(2))),)), (0, ())], ids=["committed", "not committed"]
)
def test_of_a_round_that_the_log_lacks_the_next_attempt_tells_whether_it_counts(
    model: int, lost: Any, tmp_path: Path, root: Root
) -> None:
    resumed = said("run", "resumed", job_id="job-2", hashes={"model": sha(model)})
    assert lost_after(tmp_path, root, UPDATE, resumed, closed(1, "job-2") if model else closed(0, "job-2")) == lost


def test_the_model_of_a_round_that_the_log_lacks_is_known_by_the_round_after_it(tmp_path: Path) -> None:
    AuditLog(tmp_path).record([closed(0), closed(2)])
    log = ServerLog(tuple(AuditLog(tmp_path).read()), frozenset())
    assert log.models(["job-1"], 1) == {sha(2), sha(3)}, "not the one from before that round"


def test_another_run_that_went_on_under_its_key_does_not_hide_a_lost_one(server: Path, root: Root) -> None:
    """As logs have it in which a run that died at once was never started."""
    run_sites(server, {A: well_behaved, B: well_behaved}, num_rounds=3, job_id="job-4")
    file = server / "state/audit" / AUDIT_FILE

    def went_on(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
        begun = [body for body in bodies if body["kind"] == "run" and body["outcome"] == "started"]
        begun[-1]["outcome"] = "resumed"
        return [body for body in bodies if (body["kind"], body["job_id"], body.get("round")) != ("round", "job-4", 0)]

    rewrite(file, went_on)
    log = ServerLog(tuple(AuditLog(server / "state").read()), frozenset())
    assert [lost.jobs for lost in log.lost_runs(C, ["job-4"], ())] == [("job-1",)]
    assert log.lost_runs(C, ["job-1", "job-4"], ()) == ()


def test_a_run_whose_server_died_before_the_log_had_its_beginning_hides_none(
    server: Path, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*said: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(RunAudit, "began", dies)
        with pytest.raises(KeyboardInterrupt):
            run_sites(server, {A: well_behaved, B: well_behaved}, num_rounds=3, job_id="job-3")
    run_sites(server, {A: well_behaved, B: well_behaved}, num_rounds=3, job_id="job-4")
    findings = found(server, root)
    assert findings.runs == () and set(findings.others) == {"job-3", "job-4"}
    assert [lost.jobs for lost in findings.lost_runs] == [("job-1",)]


def test_a_run_that_was_cut_off_before_the_log_had_its_round_is_certified_as_any(
    tmp_path: Path, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(self: RunAudit, index: int, sha256: str) -> None:
        if index == 2:
            raise KeyboardInterrupt
        committed(self, index, sha256)

    sites, committed = {A: well_behaved, B: well_behaved, C: joining(2)}, RunAudit.committed
    with monkeypatch.context() as dying:
        dying.setattr(RunAudit, "committed", dies)
        with pytest.raises(KeyboardInterrupt):
            run_sites(tmp_path, sites, num_rounds=4)
    run_sites(tmp_path, sites, num_rounds=4, job_id="job-2")
    (run,) = found(tmp_path, root).runs
    assert (run.part, run.trained_round, len(run.contaminated)) == ("trained", 2, 2)
    shutil.rmtree(state(tmp_path))
    (lost,) = found(tmp_path, root).lost_runs
    assert (lost.jobs, set(lost.contaminated)) == (("job-1", "job-2"), set(run.contaminated))


def test_a_run_of_unknown_beginning_holds_the_site_for_sure_where_it_trained(server: Path, root: Root) -> None:
    second = next_run(server, "second", 2, start="a_run")
    sites = {A: well_behaved, B: well_behaved, C: well_behaved}
    third = next_run(server, "third", 3, sites, start="second")
    shutil.rmtree(state(server, "second"))
    findings = found(server, root)
    (run,) = [run for run in findings.runs if run.run_key == "third"]
    assert (run.part, run.trained_round, run.excluding) == ("unknown", 0, ()) and second.model and third.model
    origin = ModelOrigin(run_key="third", job_id="job-3", model_sha256=third.model.sha256, start_sha256=None)
    assert verdict_on(origin, findings)[0] == "contains"


def test_of_a_run_of_unknown_beginning_only_the_models_from_its_training_on_hold_the_site(
    server: Path, root: Root
) -> None:
    next_run(server, "second", 2, start="a_run")
    sites = {A: well_behaved, B: well_behaved, C: joining(2)}
    run_sites(server, sites, num_rounds=4, run_key="third", job_id="job-3", start_from="second")
    next_run(server, "clean", 4)
    shutil.rmtree(state(server, "second"))
    findings = found(server, root)
    (run,) = [run for run in findings.runs if run.run_key == "third"]
    assert (run.part, run.trained_round, len(run.contaminated), len(run.may_hold)) == ("unknown", 2, 2, 2)
    statement = issued(server, root).statement
    for models, verdict, in_words in ((run.contaminated, "contains", "holds"), (run.may_hold, "unclear", "may_hold")):
        for sha256 in models:
            origin = {"run_key": "third", "job_id": "job-3", "model_sha256": sha256, "start_sha256": None}
            assert verdict_on(ModelOrigin(**origin), findings)[0] == verdict
            began = origin | {"job_id": "job-4", "model_sha256": "0" * 64, "start_sha256": sha256}
            assert verdict_on(ModelOrigin(**began), findings)[0] == verdict
            assert verdict_on_model(statement, sha256)[0] == in_words


def test_a_lost_run_that_began_with_a_model_that_may_hold_the_site_may_hold_it_too(server: Path, root: Root) -> None:
    next_run(server, "second", 2, start="a_run")
    next_run(server, "third", 3, start="second")
    for run_key in ("a_run", "third"):
        shutil.rmtree(state(server, run_key))
    (server / "state/audit").rename(server / "old")
    begun = json.loads((state(server, "second") / OUTCOME_FILE).read_text())["model"]["sha256"]
    hashes = {"model_before": begun, "model": sha(1)}
    AuditLog(server / "state").record([
        said("run", "started", run_key="third", job_id="job-3", hashes={"model": begun}),
        said("round", round=0, run_key="third", job_id="job-3", hashes=hashes),
    ])  # fmt: skip
    findings = found(server, root)
    (second,) = findings.runs
    assert (second.part, second.contaminated) == ("unknown", ()) and begun in second.may_hold
    assert [(one.run_key, one.contaminated, one.may_hold) for one in findings.lost_runs] == [("third", (), (sha(1),))]


# ------------------------------------------------------------------ what is not certified


def change(server: Path, **values: Any) -> None:
    """Changes what a run's outcome says."""
    path = state(server) / OUTCOME_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def put_model(server: Path, index: int, content: bytes) -> None:
    """Puts other bytes in the place of a kept model, and makes its record fit."""
    folder = state(server) / BEFORE_JOINING
    (folder / f"round-{index:04d}.npz").write_bytes(content)
    change_record(server, index, sha256=hashlib.sha256(content).hexdigest())


def change_record(server: Path, index: int, **values: Any) -> None:
    path = state(server) / BEFORE_JOINING / f"round-{index:04d}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def a_later_model(server: Path) -> None:
    put_model(server, 2, (state(server) / "global_model.npz").read_bytes())


def a_re_aggregated_model(server: Path) -> None:
    """A model as it would be computed anew from the others' updates."""
    put_model(server, 2, to_bytes({name: array + 1.0 for name, array in MODEL.items()}))


def the_model_of_another_round(server: Path) -> None:
    put_model(server, 2, (state(server) / BEFORE_JOINING / "round-0000.npz").read_bytes())


def damaged_bytes(server: Path) -> None:
    path = state(server) / BEFORE_JOINING / "round-0002.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def other_sites(server: Path) -> None:
    change_record(server, 2, before=(A,))


def no_log(server: Path) -> None:
    shutil.rmtree(server / "state/audit")


def a_forged_outcome(server: Path) -> None:
    """Has the outcome and the record say that hospital-c joined in round 3, of which a true model is kept."""
    outcome = json.loads((state(server) / OUTCOME_FILE).read_text())
    del outcome["rounds"][2]["contributed"][C]
    change(server, rounds=outcome["rounds"])
    change_record(server, 3, joined=(C, D), before=(A, B))
    (state(server) / BEFORE_JOINING / "round-0002.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (a_later_model, "log does not name it"),
        (a_re_aggregated_model, "log does not name it"),
        (the_model_of_another_round, "log does not name it"),
        (damaged_bytes, "not the one that its record names"),
        (other_sites, "names other sites"),
        (a_forged_outcome, "has an answer of hospital-c in round 2"),
    ],
)
def test_only_the_model_that_stood_before_the_site_joined_is_certified(
    spoil: Callable[[Path], None], why: str, server: Path, root: Root
) -> None:
    spoil(server)
    (run,) = found(server, root).runs
    assert [one.round for one in run.excluding] == [0], "the one from before all is still good"
    assert dict(restarts(found(server, root))) == {}
    (state(server) / BEFORE_JOINING / "round-0000.json").unlink()
    assert why in str(found(server, root).runs[0].none_because)
    shutil.rmtree(state(server) / BEFORE_JOINING)
    assert "no model is kept" in str(found(server, root).runs[0].none_because)


def test_why_none_is_certified_is_said(tmp_path: Path, root: Root) -> None:
    run_sites(tmp_path, {A: well_behaved, B: well_behaved, C: well_behaved})
    for spoil, why in ((no_log, "log does not name it"), (damaged, "not the one that its record names")):
        spoil(tmp_path)
        (run,) = found(tmp_path, root, B).runs
        assert run.excluding == () and why in str(run.none_because)


def damaged(server: Path) -> None:
    (state(server) / BEFORE_JOINING / "round-0000.npz").write_bytes(b"x")


def test_a_log_or_outcome_that_cannot_be_trusted_ends_it(server: Path, root: Root) -> None:
    path = server / "state/audit/audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"round":1', b'"round":7', 1))
    with pytest.raises(LedgerError, match="cannot be trusted, and nothing is certified by it"):
        found(server, root)
    shutil.rmtree(server / "state/audit")
    (state(server) / OUTCOME_FILE).write_text("{")
    with pytest.raises(ConfigError, match="the outcome of run a_run is missing or damaged") as raised:
        found(server, root)
    assert str(server) not in str(raised.value)


# ------------------------------------------------------------------ countersigned


def countersigned_run(folder: Path) -> MadeUpRun:
    """A made-up run of four rounds, whose log both sites have signed, with a third that joined in round 2."""
    run = made_up_run(folder, rounds=4)
    contents = [to_bytes({"w": MODEL["bias"] + index}) for index in range(5)]
    hashes = {f"{100 + index:064x}": hashlib.sha256(one).hexdigest() for index, one in enumerate(contents)}

    def with_true_hashes(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
        text = json.dumps(bodies)
        for made_up, true in hashes.items():
            text = text.replace(made_up, true)
        return [dict(body) for body in json.loads(text)]

    # The signatures are of the log as it was: they do not count any more, and the sites sign anew.
    rewrite(
        run.file("server"),
        lambda bodies: [one for one in with_true_hashes(bodies) if one["kind"] != "countersignature"],
    )
    run.server = AuditLog(folder / "server")
    for site in run.sites:
        shutil.rmtree(folder / site)
        run.sites[site] = AuditLog(folder / site)
    run.sign(3)
    rounds = tuple(
        RoundRecord(round=index, seconds=1.0, contributed=dict.fromkeys((A, B) if index < 2 else (A, B, C), 5))
        for index in range(4)
    )
    outcome = RunOutcome(run_key="a_run", job_id="job-1", job_name="made up", status="finished", rounds_planned=4,
                         rounds_committed=4, sites=(A, B, C), rounds=rounds, first_model_from=A, started=STARTED,
                         finished=STARTED)  # fmt: skip
    (folder / "server/runs/a_run").mkdir(parents=True)
    write_outcome(outcome, folder / "server/runs/a_run" / OUTCOME_FILE)
    kept = KeptModels(folder / "server/runs/a_run")
    kept.keep("a_run", 0, ((A, B), ()), {"w": MODEL["bias"]})
    kept.keep("a_run", 2, ((C,), (A, B)), {"w": MODEL["bias"] + 2})
    return run


def test_the_heads_that_sites_have_signed_after_the_model_are_named(tmp_path: Path) -> None:
    run = countersigned_run(tmp_path)
    lines = run.server.read()
    (one,) = find(C, tmp_path / "server", run.root.certificate, NOW).runs
    place = one.excluding[-1].log
    entry, event = lines[place.entries - 1]
    assert (event.kind, event.round, event.hashes["model"]) == ("round", 1, one.excluding[-1].sha256)
    assert place.head == entry.hash
    signed = {event.site: event for _, event in lines if event.signature}
    assert {site: (head.entries, head.head) for site, head in place.countersigned.items()} == {
        site: (event.log_entries, event.hashes["log_head"]) for site, event in signed.items()
    }
    assert set(place.countersigned) == {A, B}


def test_a_model_that_no_other_hospital_has_signed_is_not_certified(tmp_path: Path, root: Root) -> None:
    run_sites(tmp_path, {A: well_behaved, B: well_behaved, C: joining(1)})
    own, trust = tmp_path / "own", Trust(root.certificate)
    sign_log(tmp_path / "state", {C: root.issue(C, None)}, trust, NOW, own)
    findings = found(tmp_path, root)
    (run,) = findings.runs
    assert run.excluding == () and dict(restarts(findings)) == {}
    assert "no other hospital has countersigned the server's log since: run any training job" in str(run.none_because)
    sign_log(tmp_path / "state", {B: root.issue(B, None)}, trust, NOW, own)
    (run,) = found(tmp_path, root).runs
    assert [set(model.log.countersigned) for model in run.excluding] == [{B}, {B}]


def test_a_signature_under_another_root_does_not_count_and_that_of_the_leaver_neither(tmp_path: Path) -> None:
    run = countersigned_run(tmp_path)
    (one,) = find(C, tmp_path / "server", Root().certificate, NOW).runs
    assert one.excluding == () and "no other hospital has countersigned" in str(one.none_because)
    (one,) = find(B, tmp_path / "server", run.root.certificate, NOW).runs
    assert [set(model.log.countersigned) for model in one.excluding] == [{A}]


# ------------------------------------------------------------------ releases


def test_what_a_package_says_of_its_origin_decides(server: Path, root: Root) -> None:
    next_run(server, "clean", 2)
    findings = found(server, root)
    (run,) = findings.runs

    def verdict(job_id: str, model: str, start: str | None = None) -> str:
        return verdict_on(ModelOrigin(run_key="k", job_id=job_id, model_sha256=model, start_sha256=start), findings)[0]

    assert verdict("job-1", run.contaminated[0]) == "contains"
    assert verdict("elsewhere", run.contaminated[0]) == "contains", "by the model, whatever the job is called"
    assert verdict("elsewhere", "0" * 64, run.contaminated[1]) == "contains", "it began with such a model"
    assert verdict("job-1", run.excluding[-1].sha256) == "clean"
    assert verdict("job-2", "1" * 64) == "clean"
    assert verdict("elsewhere", "0" * 64) == "unclear"
    assert verdict_on(None, findings)[0] == "unclear"


def test_of_a_run_that_is_unknown_or_lost_nothing_is_called_clean(server: Path, root: Root) -> None:
    next_run(server, "second", 2, start="a_run")
    shutil.rmtree(state(server))
    findings = found(server, root)
    held = findings.lost_runs[0].contaminated[0]
    said = {"run_key": "k", "start_sha256": None}
    assert verdict_on(ModelOrigin(job_id="job-1", model_sha256=held, **said), findings)[0] == "contains"
    assert verdict_on(ModelOrigin(job_id="job-1", model_sha256="0" * 64, **said), findings)[0] == "unclear"
    assert verdict_on(ModelOrigin(job_id="job-2", model_sha256="0" * 64, **said), findings)[0] == "unclear"


# ------------------------------------------------------------------ the certificate


def issued(server: Path, root: Root, role: str = "project_admin", **changes: Any) -> WithdrawalCertificate:
    identity = root.issue("admin@consortium.example" if role else "admin", role)
    trust = Trust(root.certificate)
    return issue(changes.get("findings") or found(server, root), REVOKED, Releases(), identity, trust, NOW)


def test_a_certificate_is_verified_offline_as_of_its_signing(server: Path, root: Root) -> None:
    certificate = issued(server, root)
    content, trust = certificate.file_content, Trust(root.certificate)
    read, signer = verify_certificate(content, trust, NOW + timedelta(days=900))
    assert read == certificate and (signer.name, signer.role) == ("admin@consortium.example", "project_admin")
    said = read.statement
    assert (said.site, said.revoked, said.releases) == (C, REVOKED, None)
    assert said.log and said.log.entries == len(AuditLog(server / "state").read())
    assert any("cannot be called back" in line for line in said.not_undone) and "not certified" in said.re_aggregation


def test_what_a_certificate_says_of_a_model(server: Path, root: Root) -> None:
    statement = issued(server, root).statement
    kept = {one.round: one.sha256 for one in statement.runs[0].excluding}
    assert verdict_on_model(statement, kept[2])[0] == "excludes"
    last = hashlib.sha256((state(server) / "global_model.npz").read_bytes()).hexdigest()
    assert verdict_on_model(statement, last) == ("holds", "holds updates of hospital-c: run a_run")
    re_aggregated = hashlib.sha256(to_bytes({name: array + 1 for name, array in MODEL.items()})).hexdigest()
    assert verdict_on_model(statement, re_aggregated)[0] == "unknown"


@pytest.mark.parametrize("role", ["lead", "org_admin", "member", None])
def test_only_the_operator_issues(role: Any, server: Path, root: Root) -> None:
    with pytest.raises(PackageError, match="may not issue a certificate of withdrawal"):
        issued(server, root, role)


def test_none_is_issued_while_a_run_of_the_site_goes_on(server: Path, root: Root) -> None:
    change(server, status="unfinished", reason="it runs")
    with pytest.raises(ConsortiumError, match="run a_run has not ended"):
        issued(server, root)


def test_a_changed_foreign_or_too_late_signed_certificate_is_refused(server: Path, root: Root) -> None:
    certificate = issued(server, root)
    changed = certificate.file_content.replace(b"hospital-c", b"hospital-e")
    with pytest.raises(PackageError, match="it was changed, or another signed"):
        verify_certificate(changed, Trust(root.certificate), NOW)
    with pytest.raises(PackageError, match="another consortium"):
        verify_certificate(certificate.file_content, Trust(Root().certificate), NOW)
    identity = root.issue("admin@consortium.example", "project_admin")
    listed = root.revocations({serial_of(identity): NOW - timedelta(hours=1)})
    late = issue(found(server, root), REVOKED, Releases(), identity, Trust(root.certificate), NOW)
    with pytest.raises(PackageError, match="already revoked"):
        verify_certificate(late.file_content, Trust(root.certificate, listed), NOW)
    unwritable = certificate.file_content.replace(b"hospital-c", b"hospital-\\ud800", 1)
    with pytest.raises(PackageError, match="that nobody can write"):
        verify_certificate(unwritable, Trust(root.certificate), NOW)
    with pytest.raises(PackageError, match="of version 2"):
        verify_certificate(certificate.file_content.replace(b'"schema_version": 1', b'"schema_version": 2'),
                           Trust(root.certificate), NOW)  # fmt: skip
    with pytest.raises(PackageError, match="no JSON object"):
        verify_certificate(b"[]", Trust(root.certificate), NOW)


def a_later_round(run: dict[str, Any], statement: dict[str, Any]) -> None:
    run["excluding"][1]["round"] = 3


def a_model_of_the_site(run: dict[str, Any], statement: dict[str, Any]) -> None:
    run["excluding"][1]["sha256"] = run["contaminated"][0]


def a_lost_model(run: dict[str, Any], statement: dict[str, Any]) -> None:
    lost = {"run_key": "x", "jobs": ["x"], "contaminated": [run["excluding"][1]["sha256"]]}
    statement["lost_runs"] = [lost]


def the_site_among_those_before(run: dict[str, Any], statement: dict[str, Any]) -> None:
    run["excluding"][1]["sites"].append(C)


def an_inherited_run(run: dict[str, Any], statement: dict[str, Any]) -> None:
    run["part"] = "inherited"


def an_unknown_run(run: dict[str, Any], statement: dict[str, Any]) -> None:
    run["part"] = "unknown"


def a_first_model_of_the_site(run: dict[str, Any], statement: dict[str, Any]) -> None:
    run["joined_round"] = None


def a_place_that_nobody_signed(run: dict[str, Any], statement: dict[str, Any]) -> None:
    run["excluding"][1]["log"]["countersigned"] = {}


def nothing_that_is_not_undone(run: dict[str, Any], statement: dict[str, Any]) -> None:
    statement["not_undone"] = []


@pytest.mark.parametrize(
    "forge",
    [
        a_later_round,
        a_model_of_the_site,
        a_lost_model,
        the_site_among_those_before,
        an_inherited_run,
        an_unknown_run,
        a_first_model_of_the_site,
        a_place_that_nobody_signed,
        nothing_that_is_not_undone,
    ],
)
def test_no_statement_can_certify_anything_else(forge: Any, server: Path, root: Root) -> None:
    values = json.loads(issued(server, root).statement.model_dump_json())
    assert WithdrawalStatement.model_validate(values)
    forge(values["runs"][0], values)
    with pytest.raises(ValueError, match="validation error"):
        WithdrawalStatement.model_validate(values)
