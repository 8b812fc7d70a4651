"""The plan of faults is a function of its seed, and the oracle sees what it is there to see."""

import hashlib
import importlib
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos import hooks, machines, oracle, sabotage
from benchmarks.chaos.accounts import ledger_troubles, signature_troubles
from benchmarks.chaos.job import CLIENT, chaos_job
from benchmarks.chaos.machines import Machines
from benchmarks.chaos.oracle import Run
from benchmarks.chaos.plan import CORRUPTED, KILLED_AT, LEDGERS, Fault, plan, unit_of
from benchmarks.chaos.recovery import late
from benchmarks.chaos.report import page, what_is_seen
from benchmarks.chaos.results import NOT_REACHED
from benchmarks.chaos.steps import ASKS, BY_NAME, COMMITTED, STEPS, TAKEN
from benchmarks.chaos.trace import Trace, committed_rounds, lost_rounds, rounds_reached
from fedvoxel.federation.outcome import ModelFile, RoundRecord, RunOutcome, write_outcome
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.guarantee import PrivacyUnit
from fedvoxel.privacy.ledger import open_ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.policy import CohortBudget, PrivacyPolicy, write_privacy_policy
from fedvoxel.privacy.server_ledger import Received, ServerLedger
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import AuditEvent
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.records.chain import Chain
from fedvoxel.training.private_training import refuse_overruled
from fedvoxel.training.setup import TrainingTask
from tests.system.network import Network

SITES = ("hospital-a", "hospital-b", "hospital-c")


def test_a_plan_is_a_function_of_its_seed() -> None:
    assert plan(1, 20, 100, SITES) == plan(1, 20, 100, SITES) != plan(2, 20, 100, SITES)
    asked = f"from benchmarks.chaos.plan import plan; print(plan(1, 20, 100, {SITES}))"
    in_other_processes = {
        subprocess.run(
            [sys.executable, "-c", asked], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout.decode()
        for seed in "123"
    }
    assert in_other_processes == {f"{plan(1, 20, 100, SITES)}\n"}


def test_the_plan_has_every_kind_every_process_and_every_file() -> None:
    planned = [fault for job in plan(1, 20, 120, SITES) for fault in job]
    assert len(planned) >= 120
    kills = {(fault.value, fault.step) for fault in planned if fault.kind == "kill"}
    assert kills == {(whose, step) for whose, steps in KILLED_AT.items() for step in steps}
    kinds = {fault.kind for fault in planned}
    assert kinds == {
        "kill", "power", "partition", "line", "rate", "clock", "disk_full", "corrupt", "duplicate", "replay", "both",
    }  # fmt: skip
    corrupted = {fault.value for fault in planned if fault.kind == "corrupt"}
    assert corrupted == {*CORRUPTED["server"], *CORRUPTED["site"], *LEDGERS["patient"], *LEDGERS["hospital"]}
    assert [unit_of(job) for job in range(20) if unit_of(job)] == ["patient", "hospital"] * 2
    ledgers = [fault for fault in planned if "state/privacy/" in fault.value]
    assert all(unit_of(fault.job) for fault in ledgers), "only a job that protects somebody has a ledger"
    assert all(fault.step in BY_NAME for fault in planned)
    assert all((fault.at == "server") == fault.step.startswith("server") for fault in planned)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_every_step_is_a_place_in_the_code(step: Any) -> None:
    module = __import__(step.module, fromlist=["_"])
    found: Any = module
    for name in step.function.split("."):
        found = getattr(found, name)
    assert callable(found)


def _trace(folder: Path, lines: Sequence[dict[str, Any]]) -> Trace:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trace.jsonl"
    path.write_text("".join(json.dumps({"at": number, **line}) + "\n" for number, line in enumerate(lines)))
    return Trace(path)


def _round(index: int, before: str, after: str, sites: Sequence[str] = SITES) -> list[dict[str, Any]]:
    taken = [{"step": TAKEN, "site": site} for site in sites]
    asked, kept = (
        {"step": ASKS, "round": index, "model": before},
        {"step": COMMITTED, "round": index + 1, "model": after},
    )
    return [asked, *taken, kept]


def test_a_run_that_goes_on_from_what_it_committed_has_lost_nothing(tmp_path: Path) -> None:
    again = {"step": ASKS, "round": 1, "model": "m1"}
    trace = _trace(tmp_path, [*_round(0, "m0", "m1"), again, *_round(1, "m1", "m2")])
    assert lost_rounds(trace) == []
    assert [one.round for one in committed_rounds(trace)] == [0, 1]


@pytest.mark.parametrize(
    ("later", "said"),
    [
        ([*_round(0, "m0", "m1")], "round 1 was committed and the run went on with round 0"),
        ([*_round(2, "m1", "m3")], "began with another model than was committed"),
        ([*_round(3, "m2", "m3")], "went on with round 3"),
    ],
)
def test_a_lost_round_is_seen(tmp_path: Path, later: list[dict[str, Any]], said: str) -> None:
    trace = _trace(tmp_path, [*_round(0, "m0", "m1"), *_round(1, "m1", "m2"), *later])
    assert any(said in line for line in lost_rounds(trace))


def test_a_commit_that_nobody_lived_to_tell_is_no_loss(tmp_path: Path) -> None:
    untold = _round(1, "m1", "m2")[:-1]
    trace = _trace(tmp_path, [*_round(0, "m0", "m1"), *untold, *_round(2, "m2", "m3")])
    assert lost_rounds(trace) == [] and rounds_reached(trace) == 3


@pytest.fixture
def ended(tmp_path: Path) -> tuple[Machines, Trace, Run]:
    """A finished run of two rounds, as it lies on the server's disk, with an audit."""
    made = Machines(tmp_path, SITES, Network(tmp_path), tmp_path / "chaos")
    state = made.kit("server") / "state"
    folder = state / "runs" / "r"
    folder.mkdir(parents=True)
    (folder / "global_model.npz").write_bytes(b"weights")
    model = ModelFile(file="global_model.npz", sha256=sha256_of_file(folder / "global_model.npz"))
    rounds = tuple(RoundRecord(round=i, seconds=1.0, contributed=dict.fromkeys(SITES, 5)) for i in range(2))
    now = datetime.now(UTC)
    about: dict[str, Any] = {"run_key": "r", "job_id": "j", "job_name": "r", "status": "finished", "rounds_planned": 2}
    about |= {"rounds_committed": 2, "sites": SITES, "rounds": rounds, "model": model, "started": now, "finished": now}
    write_outcome(RunOutcome(**about), folder / "outcome.json")
    AuditLog(state).record(
        [AuditEvent(kind="answer", outcome="refused", run_key="r", site="hospital-a", reason="why")] * 3
    )
    return made, _trace(made.chaos, [*_round(0, "m0", "m1"), *_round(1, "m1", "m2")]), Run("r", "j", 0, 2)


def test_the_oracle_has_nothing_to_say_of_a_good_run(ended: tuple[Machines, Trace, Run]) -> None:
    made, trace, run = ended
    assert oracle.outcome_troubles(made, trace, run) == [] == oracle.chain_troubles(made)
    assert oracle.reference_troubles(trace, run, {0: "m1", 1: "m2"}, 3) == []


def _change(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda outcome: outcome.update(values)


def _unanswered(outcome: dict[str, Any]) -> None:
    outcome["rounds"][1]["contributed"]["hospital-d"] = 5


def _unsaid(outcome: dict[str, Any]) -> None:
    del outcome["rounds"][1]["contributed"]["hospital-b"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_change(status="failed", reason="x", rounds_committed=1), "the outcome says 1 rounds were committed, 2 were"),
        (_change(status="failed", reason="x"), "the outcome says failed after 2 of 2 rounds"),
        (_change(status="failed"), "does not say why"),
        (_change(status="unfinished"), "the run has not ended"),
        (_change(rounds_planned=3), ""),
        (_change(model=None), "names no model"),
        (_unanswered, "contributed and never answered"),
        (_unsaid, "nothing is said of ['hospital-b']"),
    ],
)
def test_an_untruthful_outcome_is_seen(
    ended: tuple[Machines, Trace, Run], change: Callable[[dict[str, Any]], None], said: str
) -> None:
    made, trace, run = ended
    path = made.kit("server") / "state/runs/r/outcome.json"
    outcome = json.loads(path.read_text())
    change(outcome)
    path.write_text(json.dumps(outcome))
    found = oracle.outcome_troubles(made, trace, run)
    assert any(said in line for line in found) if said else found == []


def test_a_missing_outcome_and_a_changed_model_are_seen(ended: tuple[Machines, Trace, Run]) -> None:
    made, trace, run = ended
    folder = made.kit("server") / "state/runs/r"
    (folder / "global_model.npz").write_bytes(b"other")
    assert oracle.outcome_troubles(made, trace, run) == ["global_model.npz is not what the outcome says"]
    shutil.rmtree(folder)
    assert oracle.outcome_troubles(made, trace, run) == ["the run has no outcome"]


def test_a_run_is_open_as_long_as_a_job_of_it_runs_or_is_to_follow(ended: tuple[Machines, Trace, Run]) -> None:
    made, _, run = ended

    def store(job_id: str, **meta: str) -> list[str]:
        folder = made.kit("server") / "state" / "jobs" / job_id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "meta").write_text(json.dumps(meta))
        return oracle.open_jobs(made, run)

    assert store("j", name="r", status="RUNNING") == ["j"]
    assert store("j", name="r", status="FINISHED:ABNORMAL") == []
    assert store("j", name="r", status="FINISHED:ABNORMAL", resumed_as="") == ["j"]
    assert store("j", name="r", status="FINISHED:ABNORMAL", resumed_as="next") == []
    assert store("next", name="r", status="SUBMITTED") == ["next"]
    assert store("other", name="another", status="RUNNING") == ["next"]


def test_a_cut_chain_is_seen(ended: tuple[Machines, Trace, Run]) -> None:
    made, _, _ = ended
    path = made.kit("server") / "state/audit/audit.jsonl"
    path.write_bytes(b"\n".join(path.read_bytes().splitlines()[:-1]) + b"\n")
    (trouble,) = oracle.chain_troubles(made)
    assert "audit.jsonl" in trouble
    assert oracle.chain_troubles(made, besides=path) == []


def test_a_changed_line_that_verifies_is_seen(
    ended: tuple[Machines, Trace, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ended[0].kit("server") / "state/audit/audit.jsonl"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"why", b"who", 1))
    assert oracle.unseen_change(path, content) == []
    monkeypatch.setattr(Chain, "read", lambda self: [])
    assert oracle.unseen_change(path, content) == ["audit.jsonl was changed and verifies all the same"]
    path.write_bytes(content + b"more")
    assert oracle.unseen_change(path, content) == [], "it was put back"


def test_other_bits_than_without_faults_are_seen(ended: tuple[Machines, Trace, Run]) -> None:
    _, trace, run = ended
    assert "round 1" in oracle.reference_troubles(trace, run, {0: "m1", 1: "other"}, 3)[0]


def test_a_process_stops_at_its_step_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDVOXEL_CHAOS", str(tmp_path))
    monkeypatch.setenv("FEDVOXEL_MACHINE", "server")
    step = BY_NAME["server_parent.deploys"]
    asked = {"id": 1, "step": step.name, "machine": "server", "action": ""}
    (tmp_path / "armed.json").write_text(json.dumps(asked | {"machine": "hospital-a"}))
    hooks._pass(step, (), None)
    assert not (tmp_path / "stopped-1").exists()
    (tmp_path / "armed.json").write_text(json.dumps(asked))
    (tmp_path / "go-1").touch()
    hooks._pass(step, (), None)
    assert (tmp_path / "stopped-1").exists() and not (tmp_path / "armed.json").exists()
    assert len(Trace(tmp_path / "trace.jsonl").look()) == 2


def test_a_step_of_every_file_is_passed_by_its_process_alone_and_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDVOXEL_CHAOS", str(tmp_path))
    monkeypatch.setenv("FEDVOXEL_MACHINE", "hospital-a")
    step = BY_NAME["trainer.renames"]
    asked = {"id": 2, "step": step.name, "machine": "hospital-a", "action": "", "skip": 1}
    (tmp_path / "armed.json").write_text(json.dumps(asked))
    (tmp_path / "go-2").touch()
    monkeypatch.setattr(hooks, "_own_kind", lambda: "site_job")
    hooks._pass(step, (), None)
    monkeypatch.setattr(hooks, "_own_kind", lambda: "trainer")
    hooks._pass(step, (), None)
    assert not (tmp_path / "stopped-2").exists()
    hooks._pass(step, (), None)
    assert (tmp_path / "stopped-2").exists() and not (tmp_path / "trace.jsonl").exists()


@pytest.mark.parametrize("guard", sabotage.GUARDS)
def test_every_guard_is_a_place_in_the_code(guard: str) -> None:
    for place in sabotage.GUARDS[guard].taken:
        module, _, function = place.partition(":")
        found: Any = importlib.import_module(module)
        for name in function.split("."):
            found = getattr(found, name)
        assert callable(found) or found
    assert sabotage.GUARDS[guard].fault.step in BY_NAME


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs a C compiler")
def test_a_clock_jumps_in_a_running_process_and_timeouts_stay_right(tmp_path: Path) -> None:
    library, clock = tmp_path / "clock.so", tmp_path / "clock"
    source = Path(machines.__file__).with_name("clock.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    clock.write_bytes(struct.pack("=q", 0))
    script = (
        "import os, struct, threading, time\n"
        "before, steady = time.time(), time.monotonic()\n"
        "open(os.environ['FEDVOXEL_CLOCK'], 'r+b', 0).write(struct.pack('=q', 3600))\n"
        "assert not threading.Event().wait(0.2)\n"
        "time.sleep(0.1)\n"
        "assert 3600 < time.time() - before < 3660 and 0.3 <= time.monotonic() - steady < 60\n"
    )
    wrong = {**os.environ, "LD_PRELOAD": str(library), "FEDVOXEL_CLOCK": str(clock)}
    subprocess.run([sys.executable, "-c", script], env=wrong, check=True, timeout=60)


def test_the_page_says_what_was_not_survived() -> None:
    fault = plan(1, 1, 1, SITES, ["kill"])[0][0]
    told = {"survived": False, "violations": ["round 1 was lost"], "needed_person": "x", "next_round_s": 12.0}
    job = {"run": "r", "outcome": "failed", "flare_status": "FINISHED", "violations": [], "needed_person": ""}
    said = page([fault.as_json() | {"name": fault.name} | told, job], 1)
    assert "1 faults in 1 jobs: 0 survived by the run that they struck, 1 faults or jobs with something" in said
    assert f"- {fault.name}: round 1 was lost" in said
    assert "| hospital" not in said and "| 12.0 | 12.0 |" in said
    assert "Without a guard" not in said
    without = {"audit": [job], "journal": [fault.as_json() | {"name": fault.name} | told, job]}
    said = page([job], 1, without)
    assert "| audit | none | NOTHING |" in said
    assert f"| journal | {fault.name} | round 1 was lost (and 2 more) |" in said


def test_a_guard_is_not_seen_where_its_fault_never_struck() -> None:
    fault = plan(1, 1, 1, SITES, ["kill"])[0][0]
    told = {"survived": False, "violations": [NOT_REACHED], "needed_person": "", "name": fault.name}
    assert what_is_seen([fault.as_json() | told]) == []
    assert what_is_seen([fault.as_json() | told | {"violations": []}]) == ["the run was not whole again"]


@pytest.mark.parametrize(("machine", "limit_s"), [("server", 30.0), ("hospital-b", 20.0)])
def test_a_late_next_round_is_seen(machine: str, limit_s: float) -> None:
    found = [{"kind": "power", "machine": machine, "next_round_s": seconds} for seconds in (None, limit_s, limit_s + 1)]
    assert late(found) == [found[-1]]
    assert late([found[-1] | {"kind": "partition"}]) == []


def test_what_a_ledger_does_not_have_is_seen(ended: tuple[Machines, Trace, Run]) -> None:
    made, _, run = ended
    budget = CohortBudget(unit="hospital", epsilon=100.0, delta=0.01)
    for site in SITES:
        local = made.kit(site) / "local"
        local.mkdir(parents=True)
        write_privacy_policy(local, PrivacyPolicy(schema_version=1, cohorts={"protected_hospital": budget}))
    assert ledger_troubles(made, run) == [], "a run without a privacy section has none"
    protected = replace(run, unit="hospital")
    assert ledger_troubles(made, protected)[:2] == [
        "hospital-a: is in 2 rounds and was charged for 0",
        "hospital-a: is in 2 rounds, and the server's ledger has 0 of its updates",
    ]
    for site in SITES:
        _send_two_rounds(made, site)
    assert ledger_troubles(made, protected) == []
    kept = next((made.kit("hospital-b") / "state/privacy").rglob("releases/*"))
    kept.write_bytes(b"damaged")
    assert [line.partition(" release")[0] for line in ledger_troubles(made, protected)] == ["hospital-b:"]
    server = made.kit("server") / "state/privacy/server.jsonl"
    server.write_bytes(server.read_bytes().replace(b"hospital-c", b"hospital-d"))
    assert "the server's ledger: " in ledger_troubles(made, protected)[0]


def _send_two_rounds(made: Machines, site: str) -> None:
    kit = made.kit(site)
    ledger = open_ledger(kit / "local", kit / "state", "protected_hospital")
    planned = RunPlan(
        unit="hospital",
        event=GaussianEvent(noise_multiplier=3.0, sampling_probability=1.0, count=1),
        draws=2,
        delta=1e-3,
    )
    for index in range(2):
        reservation = ledger.reserve("r", "j", index, planned)
        ledger.keep(reservation, b"update")
        ledger.bytes_to_send(reservation.release_id)
        received = Received(
            run_key="r",
            job_id="j",
            round=index,
            site=site,
            release_id=reservation.release_id,
            sha256=hashlib.sha256(b"update").hexdigest(),
            event=planned.event,
        )
        ServerLedger(made.kit("server") / "state").receive([received])


def test_a_log_without_a_root_to_go_by_is_seen(ended: tuple[Machines, Trace, Run]) -> None:
    assert signature_troubles(ended[0])[0].startswith("the audit logs: ")


@pytest.mark.parametrize(
    ("machine", "file", "out"),
    [
        ("hospital-a", "state/audit/head.json", True),
        ("hospital-a", "state/exclusions/*", True),
        ("hospital-a", LEDGERS["patient"][0], True),
        ("hospital-a", LEDGERS["patient"][1], False),
        ("hospital-a", "state/runs/{run}/patients/*.json*", True),
        ("hospital-a", "startup/rootCA.pem", False),
        ("server", "state/audit/head.json", False),
    ],
)
def test_a_hospital_stays_out_where_it_cannot_say_what_it_did_or_spent(machine: str, file: str, out: bool) -> None:
    assert Fault(0, 0, "corrupt", machine, "trainer.trains", machine, file).leaves_out == out


@pytest.mark.parametrize("unit", [None, "patient", "hospital"])
def test_a_job_of_the_plan_is_one_that_sites_take(tmp_path: Path, unit: PrivacyUnit | None) -> None:
    client = json.loads((chaos_job(tmp_path, "r", 2, 3, unit=unit) / CLIENT).read_text())
    said = client["executors"][0]["executor"]["args"]
    task = TrainingTask.model_validate({name: value for name, value in said.items() if name != "run_key"})
    assert (task.privacy.unit if task.privacy else None) == unit
    if unit == "patient":
        refuse_overruled(task.training)
