"""What a site keeps on its disk: of runs, of patients who are out, of jobs that its people have approved."""

import json
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fedvoxel.config import load_json_config
from fedvoxel.errors import CohortError, FedVoxelError
from fedvoxel.export.signature import sign
from fedvoxel.flare.kept_answer import KeptAnswer, basis_of
from fedvoxel.flare.local_model import load_local_model, local_model_file
from fedvoxel.flare.site_memory import begin_training
from fedvoxel.flare.taken_job import TakenJob, note_taken, signed_by
from fedvoxel.governance.approval_gate import reason_to_decline
from fedvoxel.governance.approval_policy import load_approval_policy
from fedvoxel.governance.approval_record import Arrival
from fedvoxel.governance.approvals import Approvals
from fedvoxel.governance.kit import open_kit
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.chain_entry import HEAD_FILE
from fedvoxel.records.identity import Identity
from fedvoxel.training.messages import Message
from fedvoxel.training.round_memory import CARRIED_KINDS, RoundMemory
from fedvoxel.training.site_state import STATE_KINDS, SiteState
from fedvoxel.updates.secure.attempts import SummedRound
from fedvoxel.updates.weights_file import save_weights
from fedvoxel.volumes.exclusions import ANCHOR_FILE, Exclusions, admitted_cases, list_mark
from fedvoxel.volumes.used_patients import UsedPatients, uses_of
from tests.approval_kits import NOW, Hospital, blob_submission
from tests.fuzz.chains import rechained
from tests.fuzz.mutation import mutated_value, plain, written
from tests.fuzz.npz import odd_arrays
from tests.fuzz.spoiled import Spoiled, files_of, lay_out, spoiled
from tests.fuzz.target import Target, UnwantedError
from tests.fuzz.targets.server_state import hashed
from tests.volumes.scans import csv_cohort, site_config

_COHORT, _RUN_ID, _TASK = "main", "run-1", "0" * 64
_MODEL = {"a": np.ones(4, np.float32), "b": np.zeros((2, 3), np.float32)}
_COMMAND = {"round": 2}

# ------------------------------------------------------------------ runs


@cache
def _run() -> Path:
    """A run's folder in a site's state, with one of everything that is kept there."""
    folder = Path(mkdtemp(prefix="fedvoxel_fuzz_")) / "run"
    folder.mkdir()
    begin_training(folder, _COHORT, _RUN_ID, _TASK)
    for kind in STATE_KINDS:
        state = SiteState(folder, _COHORT, kind)
        state.propose(0, _MODEL)
        state.begin(0)
        state.propose(1, _MODEL)
    for carried in CARRIED_KINDS:
        RoundMemory(folder, _COHORT, carried).keep(1, _MODEL)
    KeptAnswer(folder, _COHORT).of("basis", _COMMAND, _MODEL, lambda: Message({"case_count": 3}, _MODEL))
    summed = SummedRound().masked(0, 1, ("a", "b", "c"), 3, 1).signing(0, 1, ["a", "b", "c"])
    (folder / "summed_rounds.json").write_text(summed.model_dump_json())
    save_weights(local_model_file(folder, _COHORT), _MODEL)
    note_taken(folder, TakenJob(content="1" * 64, submitter="lead@x.example"))
    UsedPatients(folder).note("trained", _COHORT, ["pseudonym-a"])
    return folder


@st.composite
def _memories(draw: st.DrawFn) -> tuple[Spoiled, ...]:
    """A file that was spoiled; or one of odd content in both of its copies, with a right hash."""
    files = files_of(_run())
    if draw(st.booleans()):
        return (draw(spoiled(files, tuple(name for name in files if not name.endswith(".lock")))),)
    name = draw(st.sampled_from(tuple(name for name in files if name.endswith((".npz", ".bin", "main.json")))))
    if name.endswith(".npz"):
        content = draw(odd_arrays(files[name]))
        return (name, content), (f"{name}.hashed", hashed(content))
    if name.endswith(".json"):
        content = written(draw(mutated_value((json.loads(files[name]),))))
        return (name, content), (f"{name}.hashed", hashed(content))
    head, _, arrays = files[name].partition(b"\n")[2].partition(b"\n")
    return ((name, hashed(written(draw(mutated_value((json.loads(head),)))) + b"\n" + arrays)),)


def _remember(changes: tuple[Spoiled, ...], folder: Path) -> None:
    """Each reader has what was kept, or says what to do; one that cannot be read costs no other."""
    run = lay_out(_run(), changes[0], folder)
    for name, content in changes[1:]:
        (run / name).write_bytes(content if isinstance(content, bytes) else b"")
    signed_by(run, "1" * 64)
    uses_of(["pseudonym-a"], run.parent)
    answer = KeptAnswer(run, _COHORT).of("basis", _COMMAND, _MODEL, lambda: Message({"case_count": 4}, _MODEL))
    if answer.header.get("case_count") not in (3, 4) and not changes[0][0].endswith(".bin"):
        raise UnwantedError("an answer that nobody gave")
    refused: list[FedVoxelError] = []
    for read in (
        lambda: begin_training(run, _COHORT, _RUN_ID, _TASK),
        lambda: load_json_config(SummedRound, run / "summed_rounds.json", "the site's last sum"),
        lambda: load_local_model(run, _COHORT),
        *(lambda kind=kind: SiteState(run, _COHORT, kind).latest() for kind in STATE_KINDS),
        *(lambda kind=kind: SiteState(run, _COHORT, kind).begin(1) for kind in STATE_KINDS),
        *(lambda kind=kind: RoundMemory(run, _COHORT, kind).read(1) for kind in CARRIED_KINDS),
    ):
        try:
            read()
        except FedVoxelError as error:
            refused.append(error)
    if refused:
        raise refused[0]


# ------------------------------------------------------------------ patients who are out


@cache
def _site() -> Any:
    return site_config(one=csv_cohort("one.csv"))


@cache
def _hospital() -> Path:
    """A hospital of which patient A is out."""
    folder = Path(mkdtemp(prefix="fedvoxel_fuzz_")) / "kit"
    (folder / "local").mkdir(parents=True)
    rows = ["case,patient,image,label", "a1,A,a1,a1", "b1,B,b1,b1"]
    (folder / "local" / "one.csv").write_text("\n".join(rows) + "\n")
    out = Exclusions(_site(), folder / "local")
    out.exclude([_site().pseudonym_of("A")])
    out.exclude([_site().pseudonym_of("C")])
    return folder


_LIST = "state/exclusions/exclusions.jsonl"


@st.composite
def _exclusions(draw: st.DrawFn) -> Spoiled | bytes:
    files = files_of(_hospital())
    if draw(st.booleans()):
        return draw(spoiled(files, (_LIST, f"state/exclusions/{HEAD_FILE}", f"local/{ANCHOR_FILE}")))
    bodies = [json.loads(line)["body"] for line in files[_LIST].splitlines()]
    return rechained(draw(mutated_value((bodies,))))


def _leave_out(change: Spoiled | bytes, folder: Path) -> None:
    """No case of a patient who is out is listed; where nobody can tell, none is."""
    kit = lay_out(_hospital(), (_LIST, change) if isinstance(change, bytes) else change, folder)
    if isinstance(change, bytes):
        (kit / _LIST).with_name(HEAD_FILE).write_bytes((change.splitlines() or [b""])[-1] + b"\n")
        (kit / "local" / ANCHOR_FILE).unlink()  # who forges a list knows of it, too
    local, site = kit / "local", _site()
    list_mark(local)
    cases = {files.case for files in admitted_cases(site, site.cohort("one"), local)}
    forged = isinstance(change, bytes) or change[0] == f"local/{ANCHOR_FILE}"
    if "a1" in cases and not forged:
        raise UnwantedError("a patient who is out")
    basis_of(local, "one", _RUN_ID, _TASK)
    Exclusions(site, local).exclude([site.pseudonym_of("B")])


# ------------------------------------------------------------------ approvals

_JOB = blob_submission()


@cache
def _approved() -> tuple[Path, Identity]:
    """A site at which a job came and a person approved it."""
    hospital = Hospital(Path(mkdtemp(prefix="fedvoxel_fuzz_")))
    person = hospital.person()
    hospital.rule(approvals=1)
    record = Approvals(hospital.kit)
    record.keep_arrival(Arrival(_JOB.sha256, _JOB.name, "job-1", "lead@x.example", "x"), _JOB)
    record.decide(person, _JOB, "approved", "", NOW)
    return hospital.kit.folder, person


_WORDS = "state/approvals/approvals.jsonl"


@st.composite
def _approvals(draw: st.DrawFn) -> Spoiled | bytes:
    """A file that was spoiled, or a record that was edited; what is said in it perhaps signed anew by its person."""
    kit, person = _approved()
    files = files_of(kit)
    kept = f"state/approvals/jobs/{_JOB.sha256}.json"
    if draw(st.booleans()):
        names = (_WORDS, f"state/approvals/{HEAD_FILE}", kept, kept, "local/fedvoxel_approval.json")
        return draw(spoiled(files, names))
    bodies = [json.loads(line)["body"] for line in files[_WORDS].splitlines()]
    if draw(st.booleans()):
        bodies[1]["statement"] = said = plain(draw(mutated_value((bodies[1]["statement"],))))
        try:
            signature = sign(person, "job approval", canonical_json(said), NOW)
            bodies[1]["signature"] = signature.model_dump(mode="json")
        except (ValueError, RecursionError):
            bodies[1]["signature"] = None
        return rechained(bodies)
    return rechained(draw(mutated_value((bodies,))))


def _admit(change: Spoiled | bytes, folder: Path) -> None:
    """A job is taken only where its very content was approved by word and signature."""
    kit = open_kit(lay_out(_approved()[0], (_WORDS, change) if isinstance(change, bytes) else change, folder))
    if isinstance(change, bytes):
        (kit.folder / _WORDS).with_name(HEAD_FILE).write_bytes((change.splitlines() or [b""])[-1] + b"\n")
    policy, approvals = load_approval_policy(kit.local), Approvals(kit)
    record = approvals.read(NOW + timedelta(seconds=1))
    for content in record.contents:
        record.approved_by(content)
        record.refused_by(content)
    if approvals.content(_JOB.sha256).sha256 != _JOB.sha256:
        raise UnwantedError("another job")
    approvals.keep_arrival(Arrival("2" * 64, "other", "job-2", "lead@x.example", "x"), _JOB)
    reason_to_decline(kit, policy, _JOB, "lead@x.example")


TARGETS = (
    Target("runs", "state", st.deferred(_memories), _remember),
    Target("excluded_patients", "state", st.deferred(_exclusions), _leave_out, (CohortError,)),
    Target("approvals", "state", st.deferred(_approvals), _admit),
)
