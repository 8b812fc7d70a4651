"""A finished run of two hospitals with everything a pack of evidence is made of: kits, logs, ledger, package, results.

No network is trained: the model is a few bytes, and what FLARE's processes would have recorded is written here.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fedvoxel.export.package import Package
from fedvoxel.export.publishing import Publisher
from fedvoxel.export.trust import read_trust
from fedvoxel.federation.channels import Channel
from fedvoxel.federation.cohort_statistics import merge_statistics
from fedvoxel.federation.outcome import ModelFile, RoundRecord, RunOutcome, write_outcome
from fedvoxel.governance.audited_files import job_hash, policy_hash
from fedvoxel.governance.consortium import Consortium
from fedvoxel.governance.countersigning import countersign, question_for, taken
from fedvoxel.governance.log_notes import ServerNotes, SiteNotes
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.ledger import open_ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.policy import CohortBudget, NoBudget, grant
from fedvoxel.records.atomic import write_bytes, write_json
from fedvoxel.records.audit import AuditLog, FollowedLog
from fedvoxel.records.audit_event import Actor, AuditEvent
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.records.identity import load_identity
from tests.consortium_kits import small_consortium
from tests.export.made_calibration import made_calibration
from tests.export.package_sample import sample_package
from tests.governance.audited_logs import sha
from tests.sample_run import site_score

RUN, JOB, COHORT = "evidence_run", "3c5c62d1-6b7d-4f0e-a1f7-2b1f6d1e8a11", "hippocampus"
A, B = "hospital-a", "hospital-b"
LEAD, OFFICER = "scientist@consortium.example", "admin@consortium.example"
STARTED = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CLIENT = {
    "executors": [
        {
            "tasks": ["train"],
            "executor": {
                "path": "fedvoxel.flare.executor.SiteExecutor",
                "args": {
                    "run_key": RUN,
                    "cohort": COHORT,
                    "classes": ["cord"],
                    "training": {"network": {"name": "UNet"}},
                    "privacy": None,
                },
            },
        }
    ]
}
PROVENANCE = {
    "privacy": {"start_from": None},
    "network": {"name": "UNet"},
    "run_versions": {"fedvoxel": "0.2.0"},
    "export_versions": {"onnx": "1.20"},
}
CARD = "# Hippocampus\n" + "".join(
    f"\n## {heading}\n\nAs it is.\n"
    for heading in ("Intended use", "Limitations", "What it finds", "What it was made for", "How good it is")
)


@dataclass(frozen=True)
class Sample:
    """Is where everything lies."""

    consortium: Consortium
    run: Path
    package: Path
    index: Path
    results: Path

    @property
    def server(self) -> Path:
        """Is the server's kit."""
        return self.consortium.server_kit

    def kit(self, name: str) -> Path:
        """Returns another's kit."""
        return self.consortium.kit(name)


def evidence_sample(folder: Path) -> Sample:
    """Makes it all in an empty folder."""
    consortium = small_consortium(folder)
    run, results = folder / "downloads" / JOB, folder / "statistics"
    _write_run(run / "workspace")
    write_json(results / "workspace" / "cohort_statistics.json", _statistics())
    _decide(consortium, run)
    _log(consortium, run, results)
    made = _package(consortium, run, folder)
    signer, trust = load_identity(consortium.kit(LEAD) / "startup"), read_trust(consortium.kit(LEAD))
    publisher = Publisher(folder / "index", signer, trust, folder / "seen.json")
    publisher.publish(made.path, "released", "good enough", datetime.now(UTC))
    return Sample(consortium, run, made.path, folder / "index", results)


def _write_run(workspace: Path) -> None:
    write_json(workspace / "app_server" / "config" / "config_fed_client.json", CLIENT)
    write_bytes(workspace / "global_model.npz", b"not really arrays")
    rounds = tuple(
        RoundRecord(round=index, seconds=7.5, contributed={A: 42, B: 31}, bytes_up=20_480, bytes_down=40_960)
        for index in range(3)
    )
    outcome = RunOutcome(
        run_key=RUN,
        job_id=JOB,
        job_name="hippocampus_fedavg",
        status="finished",
        rounds_planned=3,
        rounds_committed=3,
        sites=(A, B),
        rounds=rounds,
        model=ModelFile(file="global_model.npz", sha256=sha256_of_file(workspace / "global_model.npz")),
        test={A: site_score(14, 0.87123456), B: site_score(3)},
        refused_cases={A: 0, B: 2},
        channels=(Channel(name="validation scores", status="open", why="means of few cases leave each hospital"),),
        started=STARTED,
        finished=STARTED + timedelta(minutes=7, seconds=24),
        versions={"fedvoxel": "0.2.0", "nvflare": "2.9.0"},
    )
    write_outcome(outcome, workspace / "outcome.json")


def _statistics() -> dict[str, Any]:
    lengths = {axis: {"q05": 0.9, "q25": 0.95, "q50": 1.0, "q75": 1.05, "q95": 1.1} for axis in "xyz"}
    sizes = {axis: {"q05": 30.0, "q25": 33.0, "q50": 36.0, "q75": 40.0, "q95": 44.0} for axis in "xyz"}
    grey = {"q05": 0.0, "q25": 1.0, "q50": 2.0, "q75": 3.0, "q95": 4.0}
    told = {
        "schema_version": 1,
        "minimum_cases": 6,
        "below_minimum": False,
        "cases": 61,
        "cases_per_split": {"training": 42, "validation": None, "test": 14},
        "refused_per_reason": {"no_label": None},
        "spacing_mm": lengths,
        "shape": sizes,
        "intensity": dict.fromkeys(("p0.5", "p5", "p50", "p95", "p99.5"), grey),
        "histogram": {"edges": [0.0, 1.0], "shares": [1.0]},
        "classes": {"cord": {"cases": 59, "voxels": None}},
        "suppressed_cells": 2,
    }
    below = {"schema_version": 1, "minimum_cases": 6, "below_minimum": True}
    return merge_statistics({A: told, B: below}).model_dump(mode="json")


def _decide(consortium: Consortium, run: Path) -> None:
    """Has each hospital decide: a budget that the run draws from, and none; one approves the job as well."""
    grant(consortium.kit(A) / "local", COHORT, CohortBudget(unit="patient", epsilon=8.0, delta=0.001))
    grant(consortium.kit(B) / "local", COHORT, NoBudget())
    ledger = open_ledger(consortium.kit(A) / "local", consortium.kit(A) / "state", COHORT)
    event = GaussianEvent(noise_multiplier=5.0, sampling_probability=1.0, count=1)
    plan = RunPlan(unit="patient", event=event, draws=3, delta=1e-4)
    release = ledger.reserve(RUN, JOB, 0, plan)
    ledger.keep(release, b"noised")
    ledger.bytes_to_send(release.release_id)


def _event(kind: str, outcome: str = "done", **values: Any) -> AuditEvent:
    return AuditEvent.model_validate({"kind": kind, "outcome": outcome, "run_key": RUN, "job_id": JOB, **values})


def _log(consortium: Consortium, run: Path, results: Path) -> None:
    """Records what server and hospitals would have, and has the hospitals sign the server's log."""
    server = AuditLog(consortium.server_kit / "state")
    app, who = job_hash(run / "workspace" / "app_server"), Actor(name=LEAD, role="lead")
    server.record([_event("job", actor=who, hashes={"job": app}), _event("run", "started", hashes={"model": sha(9)})])
    logs = {site: AuditLog(consortium.kit(site) / "state") for site in (A, B)}
    ledger = open_ledger(consortium.kit(A) / "local", consortium.kit(A) / "state", COHORT).status().head
    for number, (site, log) in enumerate(logs.items()):
        policy = policy_hash(consortium.kit(site) / "local")
        begun = _event("job", site=site, cohort=COHORT, hashes={"job": app, "policy": policy, "cohort": sha(77)})
        hashes = {"answer": sha(number), "policy": policy} | ({"ledger_head": ledger} if site == A else {})
        said = {"task": "train", "round": 0, "site": site, "cohort": COHORT}
        log.record([begun, _event("answer", **said, hashes=hashes)])
        server.record([_event("answer", task="train", round=0, site=site, hashes={"update": sha(number)})])
    server.record([_event("round", round=0, hashes={"model_before": sha(9), "model": sha(10)})])
    outcome = sha256_of_file(run / "workspace" / "outcome.json")
    statistics = sha256_of_file(results / "workspace" / "cohort_statistics.json")
    server.record([_event("run", "finished", hashes={"model": sha(10), "outcome": outcome})])
    told = AuditEvent(kind="run", outcome="finished", job_id="job-2", hashes={"outcome": statistics})
    server.record([told])
    for site, log in logs.items():
        log.record([AuditEvent(kind="job", outcome="done", job_id="job-2", site=site, cohort=COHORT)])
    _sign(consortium, server, logs)


def _sign(consortium: Consortium, server: AuditLog, logs: dict[str, AuditLog]) -> None:
    trust, now = read_trust(consortium.server_kit), datetime.now(UTC)
    question = question_for(FollowedLog(server, ServerNotes).noted(), [], RUN, 0)
    for site, log in logs.items():
        identity = load_identity(consortium.kit(site) / "startup")
        answer = countersign(FollowedLog(log, SiteNotes), identity, question, JOB, lambda: now)
        server.record([taken(question, answer, site, JOB, trust, now)])


def _package(consortium: Consortium, run: Path, folder: Path) -> Package:
    workspace = run / "workspace"
    model = sha256_of_file(workspace / "global_model.npz")
    origin = {
        **{"job_name": "hippocampus_fedavg", "job_id": JOB, "run_key": RUN, "status": "finished"},
        **{"started": STARTED.isoformat(), "finished": STARTED.isoformat(), "rounds_committed": 3, "round": 2},
        **{"model_sha256": model, "outcome_sha256": sha256_of_file(workspace / "outcome.json"), "tested": True},
        "audit_head": None,
    }
    members = {
        "provenance.json": json.dumps({"schema_version": 1, "origin": origin, **PROVENANCE}),
        "sbom.cdx.json": json.dumps({"bomFormat": "CycloneDX", "components": [{"name": "numpy"}]}),
        "docs/model_card.md": CARD,
        "calibration.json": made_calibration(model).model_dump_json(),
    }
    contents = {name: text.encode() for name, text in members.items()}
    signer = load_identity(consortium.kit(LEAD) / "startup")
    return sample_package(folder, members=contents, identity=signer, now=datetime.now(UTC))
