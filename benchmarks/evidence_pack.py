"""Makes the example of a pack of evidence: a real run that protects each patient, from certificates to the signed pack.

Four hospitals and a server run on this machine over mutual TLS. Hospital-a asks for an approval, attacks the finished
model with its own patients, and hospital-b judges it on patients whom it has kept out of the protected cohort, since
scores of those would leave without a guarantee. Whoever approves, releases, vouches and signs is a certificate of the
demonstration, and no person; so the form that asks people is left blank.

    FEDVOXEL_DATA=... python -m benchmarks.evidence_pack
"""

import argparse
import csv
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import ROOT
from benchmarks.hospitals import PROJECT, keep_home_inside
from fedvoxel.cli.main import main as fedvoxel
from fedvoxel.errors import CohortError
from fedvoxel.flare.consortium_processes import running_consortium
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.governance.approval_policy import APPROVAL_FILE
from fedvoxel.governance.consortium import Consortium
from fedvoxel.governance.submission import submission_of_folder
from fedvoxel.ops.demo_data import DemoData, describe_cohorts, protected_hippocampus
from fedvoxel.ops.demo_run import run_job
from fedvoxel.privacy.policy import NoBudget
from fedvoxel.records.atomic import write_json, write_text
from fedvoxel.volumes.hippocampus import find_hippocampus, hippocampus_cohort
from fedvoxel.volumes.site import SITE_FILE

JOB = "hippocampus_dp_patient"
PORT = 28302
APPROVES, JUDGES = "hospital-a", "hospital-b"
JUDGED, JUDGED_CASES = "hippocampus_judged", 20
"""The cohort that hospital-b judges the model on, and how many of its patients are in it and in no other."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it all and writes the pack with the root certificate that it is verified with."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FEDVOXEL_DATA", ".")), help="default: FEDVOXEL_DATA"
    )
    parser.add_argument("--work", type=Path, default=Path("work/benchmarks/evidence_pack"))
    parser.add_argument("--out", type=Path, default=Path("docs/results/evidence_pack"))
    options = parser.parse_args(arguments)
    work: Path = options.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    keep_home_inside(work)
    consortium = _hospitals(options.data, work)
    before, result = _runs(consortium)
    package = _package(consortium, result, work)
    reports = [_judged(consortium, package, work), _attacked(consortium, before, result, work)]
    _pack(consortium, result, package, reports)
    shutil.rmtree(options.out, ignore_errors=True)
    shutil.copytree(work / "pack", options.out)
    shutil.copy(consortium.server_kit / "startup" / "rootCA.pem", options.out.with_name(f"{options.out.name}_root.pem"))


def _hospitals(data: Path, work: Path) -> Consortium:
    folder = find_hippocampus(data)
    if folder is None:
        raise CohortError(f"{data} holds no hippocampus set; name a folder that does with --data")
    chosen = _with_judged(protected_hippocampus(folder, work, JOB), work / "cohorts" / f"{JUDGES}.csv")
    consortium = create_consortium(PROJECT, work / "consortium", PORT)
    describe_cohorts(consortium, chosen, threads=1)
    write_json(consortium.kit(APPROVES) / "local" / APPROVAL_FILE, {"schema_version": 1, "approvals": 1}, mode=0o600)
    return consortium


def _with_judged(data: DemoData, table: Path) -> DemoData:
    """Takes patients out of a hospital's protected cohort, into one of which scores may leave."""
    head, *rows = table.read_text(encoding="utf-8").splitlines()
    names = [row[0] for row in csv.reader(rows)]
    judged = set(sorted(names)[:: max(1, len(names) // JUDGED_CASES)][:JUDGED_CASES])
    apart = table.with_stem(f"{table.stem}_judged")
    for path, inside in ((apart, True), (table, False)):
        kept = [row for row, name in zip(rows, names, strict=True) if (name in judged) is inside]
        write_text(path, "\n".join([head, *kept]) + "\n")
    cohorts = {**data.cohorts, JUDGED: {JUDGES: hippocampus_cohort(apart, validation=0.0)}}
    return replace(data, cohorts=cohorts, decisions={**data.decisions, JUDGED: NoBudget()})


def _runs(consortium: Consortium) -> tuple[Path, Path]:
    """Trains on the public cases, and from there on the protected ones; returns where the two results lie."""
    results = []
    with running_consortium(consortium.workspace):
        for name in ("hippocampus_public", JOB):
            folder = ROOT / "jobs" / name
            content = submission_of_folder(folder, APPROVES).sha256
            _do("site", "approve", consortium.kit(APPROVES), folder, "--sign", _it(consortium), "--expect", content)
            print(f"training {name}", flush=True)
            results.append(run_job(consortium, folder, lambda snapshot: None))
    return results[0], results[1]


def _package(consortium: Consortium, result: Path, work: Path) -> Path:
    model, lead = ROOT / "provisioning" / "models" / "hippocampus.json", _lead(consortium)
    _do("export", "job", result, "--describe", model, "--sign", lead, "--model", "last", "--out", work)
    package = next(work.glob("*.fvpkg"))
    reason = "the example of docs/evidence.md"
    _do("release", "publish", package, work / "index", "--state", "released", "--sign", lead, "--reason", reason)
    return package


def _judged(consortium: Consortium, package: Path, work: Path) -> Path:
    kit, out = consortium.kit(JUDGES), work / "evaluation"
    site = kit / "local" / SITE_FILE
    _do("evaluate", package, JUDGED, "--site", site, "--root", kit, "--split", "all", "--out", out, "--no-pdf")
    _do("evidence", "vouch", out / "to_share.json", "--sign", consortium.kit(f"it@{JUDGES}.example"))
    return out


def _attacked(consortium: Consortium, before: Path, result: Path, work: Path) -> Path:
    out = work / "privacy_audit"
    start = before / "workspace" / "global_model.npz"
    _do("privacy", "audit", result, consortium.kit(APPROVES), "--out", out, "--start", start)
    _do("evidence", "vouch", out / "audit.json", "--sign", _it(consortium))
    return out


def _pack(consortium: Consortium, result: Path, package: Path, reports: Sequence[Path]) -> None:
    work = package.parent
    named = [word for report in reports for word in ("--result", report)]
    kits = [word for site in consortium.sites for word in ("--site-kit", consortium.kit(site))]
    _do(
        *("evidence", result, "--kit", consortium.server_kit, "--package", package, "--releases", work / "index"),
        *("--sign", _lead(consortium), "--out", work / "pack", *named, *kits),
    )
    _do("evidence", "verify", work / "pack", "--root", consortium.server_kit)


def _it(consortium: Consortium) -> Path:
    return consortium.kit(f"it@{APPROVES}.example")


def _lead(consortium: Consortium) -> Path:
    return consortium.kit(consortium.person("lead"))


def _do(*words: str | Path) -> None:
    """Gives a command of `fedvoxel`, and ends where that fails."""
    print("fedvoxel", *words, flush=True)
    code = fedvoxel([str(word) for word in words])
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    main()
