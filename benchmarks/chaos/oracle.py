"""What must hold after a fault, looked up on the machines' disks: nobody is asked how they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.chaos.machines import SERVER, Machines
from benchmarks.chaos.trace import Trace, committed_rounds, lost_rounds, rounds_reached
from fedvoxel.config import read_json
from fedvoxel.errors import FedVoxelError
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.flare.messages import RESUMED_AS
from fedvoxel.privacy.guarantee import PrivacyUnit
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import HEAD_FILE


@dataclass(frozen=True)
class Run:
    """Names the run that is judged.

    Attributes:
        key: Its run key.
        job_id: FLARE's job.
        since: The line of the trace before it was submitted.
        rounds: How many it was to have.
        unit: Whom it protects; None where it has no privacy section.
    """

    key: str
    job_id: str
    since: int
    rounds: int
    unit: PrivacyUnit | None = None


def chain_troubles(machines: Machines, besides: Path | None = None) -> list[str]:
    """Returns the chains of all machines that do not verify: ledgers, audits, and whatever else is one.

    Args:
        machines: Whose.
        besides: A file that was changed on purpose; its folder is left out.
    """
    said = []
    for machine in machines.names:
        for head in sorted(machines.kit(machine).rglob(HEAD_FILE)):
            for lines in sorted(head.parent.glob("*.jsonl")):
                if besides is not None and besides.parent == head.parent:
                    continue
                try:
                    Chain(lines).read()
                except FedVoxelError as error:
                    said.append(f"{machine}: {lines.name}: {error}")
    return said


def unseen_change(changed: Path, content: bytes) -> list[str]:
    """Returns a sentence if a chain verifies although a byte of it is changed.

    Args:
        changed: The file that was changed on purpose, of whatever kind.
        content: What it held before.
    """
    if changed.suffix != ".jsonl" or not changed.is_file() or changed.read_bytes()[: len(content)] == content:
        return []
    try:
        Chain(changed).read()
    except FedVoxelError:
        return []
    return [f"{changed.name} was changed and verifies all the same"]


def job_status(machines: Machines, job_id: str) -> str:
    """Returns FLARE's status of a job, read from the server's disk."""
    return str(_meta(machines.kit(SERVER) / "state" / "jobs" / job_id / "meta").get("status", "unknown"))


def open_jobs(machines: Machines, run: Run) -> list[str]:
    """Returns the jobs of a run, all its attempts, that FLARE has not ended or that another job is to follow."""
    metas = {path.parent.name: _meta(path) for path in (machines.kit(SERVER) / "state" / "jobs").glob("*/meta")}
    jobs = {job for job, meta in metas.items() if meta.get("name") == run.key} | {run.job_id}
    return [job for job in sorted(jobs) if _is_open(metas.get(job, {}))]


def _is_open(meta: Mapping[str, Any]) -> bool:
    ended = str(meta.get("status", "unknown")).startswith(("FINISHED", "FAILED"))
    return not ended or meta.get(RESUMED_AS) == ""


def _meta(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path, "a job's meta"))
    except (FedVoxelError, TypeError, ValueError):
        return {}


def outcome_of(machines: Machines, run: Run) -> RunOutcome | None:
    """Returns what the run says of itself in the server's state; None where it says nothing."""
    path = machines.kit(SERVER) / "state" / "runs" / run.key / OUTCOME_FILE
    try:
        return load_outcome(path)
    except FedVoxelError:
        return None


def outcome_troubles(machines: Machines, trace: Trace, run: Run) -> list[str]:
    """Returns where an ended run's outcome does not agree with what happened and with what is on the disk."""
    outcome = outcome_of(machines, run)
    if outcome is None:
        return ["the run has no outcome"]
    said, happened = [], committed_rounds(trace, run.since)
    if outcome.status == "unfinished":
        said.append("the run has not ended")
    reached = rounds_reached(trace, run.since)
    if outcome.rounds_committed != reached:
        said.append(f"the outcome says {outcome.rounds_committed} rounds were committed, {reached} were")
    if (outcome.status == "finished") != (reached == run.rounds):
        said.append(f"the outcome says {outcome.status} after {reached} of {run.rounds} rounds")
    if outcome.status == "failed" and not outcome.reason:
        said.append("the run failed and its outcome does not say why")
    said += _round_troubles(outcome, {one.round: one.sites for one in happened})
    folder = machines.kit(SERVER) / "state" / "runs" / run.key
    for model in (outcome.model, outcome.best_model):
        if model and (not (folder / model.file).is_file() or sha256_of_file(folder / model.file) != model.sha256):
            said.append(f"{model.file} is not what the outcome says")
    if reached and outcome.status != "failed" and outcome.model is None:
        said.append("the outcome names no model")
    return said


def _round_troubles(outcome: RunOutcome, happened: dict[int, frozenset[str]]) -> list[str]:
    said = []
    for record in outcome.rounds:
        sites = happened.get(record.round)
        if sites is not None and not set(record.contributed) <= sites:
            said.append(
                f"round {record.round}: {sorted(set(record.contributed) - sites)} contributed and never answered"
            )
        if record.round >= outcome.rounds_committed:
            continue  # the round that was open when the run ended
        unexplained = set(outcome.sites) - {*record.contributed, *record.missing, *record.refused}
        unexplained -= {*record.not_selected, *record.evaluation_only}
        if unexplained:
            said.append(f"round {record.round}: nothing is said of {sorted(unexplained)}")
    return said


def reference_troubles(trace: Trace, run: Run, reference: Mapping[int, str], sites: int) -> list[str]:
    """Returns the rounds that differ from those of a run without faults although all sites were in all of them."""
    said: list[str] = []
    for one in committed_rounds(trace, run.since):
        if len(one.sites) < sites:
            break
        if one.round in reference and reference[one.round] != one.model:
            said.append(f"round {one.round}: all sites took part and the model is not that of a run without faults")
    return said


def round_troubles(trace: Trace, run: Run) -> list[str]:
    """Returns the committed rounds that were lost."""
    return lost_rounds(trace, run.since)
