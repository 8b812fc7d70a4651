"""Commands on spoiled files: an exit code of ours, one line, no traceback, and no patient in it."""

import contextlib
import io
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import strategies as st

from fedvoxel import errors
from fedvoxel.cli.main import main
from fedvoxel.export.publishing import Publisher
from fedvoxel.federation.outcome import OUTCOME_FILE, write_outcome
from fedvoxel.privacy.ledger import Ledger
from fedvoxel.privacy.policy import PRIVACY_FILE, CohortBudget
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import AuditEvent
from fedvoxel.volumes.nifti_writer import write_nifti
from tests.blob_job import job_documents, write_job
from tests.consortium_kits import FILE
from tests.export.package_sample import sample_package, sample_root, sample_trust
from tests.export.throwaway_root import DAY, NOW
from tests.fuzz.mutation import PLANTED
from tests.fuzz.spoiled import Spoiled, files_of, lay_out, spoiled
from tests.fuzz.target import Target, UnwantedError
from tests.privacy.ledger_processes import plan_of
from tests.sample_run import sample_outcome

_OURS = {error.exit_code for error in vars(errors).values() if isinstance(error, type) and hasattr(error, "exit_code")}
_CODES = (_OURS | {0, 2}) - {1}
_COHORT, _RUN = "hippocampus", "run"


@dataclass(frozen=True)
class Command:
    """Is a command line on the files of `origin()`, some of which may be spoiled; FOLDER stands for their folder."""

    words: tuple[str, ...]
    spoil: tuple[str, ...]


def _site() -> dict[str, object]:
    source = {"layout": "csv", "table": "cases.csv"}
    cohort = {"source": source, "classes": {"blob": 1}, "split": {"validation": 0.2, "test": 0.2}}
    return {"schema_version": 1, "pseudonym_key": "0f" * 32, "cohorts": {_COHORT: cohort}}


@cache
def origin() -> Path:
    """One folder with an example of everything that a command reads."""
    folder = Path(mkdtemp(prefix="fedvoxel_fuzz_")) / "given"
    folder.mkdir()
    write_job(folder / "job", job_documents())
    (folder / "consortium.yml").write_text(FILE.format(port=8102))
    told = AuditEvent(kind="answer", outcome="refused", run_key=_RUN, task="train", round=0, site="hospital-a")
    AuditLog(folder / "state").record([told] * 2)
    (folder / "result").mkdir()
    write_outcome(sample_outcome(), folder / "result" / OUTCOME_FILE)
    (folder / "local").mkdir()
    budget = {"unit": "patient", "epsilon": 8, "delta": 1e-3}
    (folder / "local" / PRIVACY_FILE).write_text(json.dumps({"schema_version": 1, "cohorts": {_COHORT: budget}}))
    ledger = Ledger(folder / "state" / "privacy", _COHORT, CohortBudget(unit="patient", epsilon=8, delta=1e-3))
    ledger.reserve(_RUN, "job", 0, plan_of(3))
    _write_cases(folder)
    now = datetime.now(UTC)
    signer = sample_root().issue("lead@b.example", begins=now - DAY, ends=now + DAY)
    package = sample_package(folder, identity=signer, now=now)
    Publisher(folder / "index", signer, sample_trust(), folder.parent / "seen.json").publish(
        package.path, "released", "made up", now
    )
    (folder / "root.pem").write_bytes(sample_root().certificate.public_bytes(Encoding.PEM))
    revoked = sample_root().revocations({7: NOW}, ends=now + DAY)
    (folder / "list.pem").write_bytes(revoked.public_bytes(Encoding.PEM))
    return folder


def _write_cases(folder: Path) -> None:
    rows = ["case,patient,image,label"]
    place = folder / "local" / PLANTED
    place.mkdir()
    for index in range(3):
        voxels = np.random.default_rng(index).normal(100, 10, (8, 9, 10)).astype(np.float32)
        write_nifti(place / f"image{index}.nii.gz", voxels, np.eye(4))
        write_nifti(place / f"label{index}.nii.gz", (voxels > 110).astype(np.uint8), np.eye(4))
        rows.append(f"{PLANTED}-{index},{PLANTED}-{index},{PLANTED}/image{index}.nii.gz,{PLANTED}/label{index}.nii.gz")
    (folder / "local" / "cases.csv").write_text("\n".join(rows) + "\n")
    (folder / "local" / "fedvoxel_site.json").write_text(json.dumps(_site()))


_TRUST = ("--root", "FOLDER/root.pem", "--crl", "FOLDER/list.pem")
_PACKAGE = "hippocampus-1.0.0.fvpkg"
_JOB = ("job/meta.json", "job/app/config/config_fed_server.json", "job/app/config/config_fed_client.json")
_LEDGER = f"state/privacy/{_COHORT}/ledger.jsonl"
_CASES = (
    "local/cases.csv",
    "local/fedvoxel_site.json",
    f"local/{PLANTED}/image1.nii.gz",
    f"local/{PLANTED}/label0.nii.gz",
)
COMMANDS = (
    Command(("job", "check", "FOLDER/job"), _JOB),
    Command(("job", "check", "FOLDER/job", "--json"), _JOB),
    Command(("job", "export", "FOLDER/job", "--out", "FOLDER/out", "--set", "rounds.num_rounds=3"), _JOB),
    Command(
        ("audit", "verify", "FOLDER/state/audit/audit.jsonl"), ("state/audit/audit.jsonl", "state/audit/head.json")
    ),
    Command(("privacy", "status", "FOLDER"), (f"local/{PRIVACY_FILE}", _LEDGER)),
    Command(("privacy", "verify", "FOLDER"), (f"local/{PRIVACY_FILE}", _LEDGER)),
    Command(("export", "show", f"FOLDER/{_PACKAGE}", *_TRUST), (_PACKAGE, "root.pem", "list.pem")),
    Command(("export", "unpack", f"FOLDER/{_PACKAGE}", "FOLDER/unpacked", *_TRUST), (_PACKAGE,)),
    Command(
        ("release", "list", "FOLDER/index", "--seen", "FOLDER/seen.json", *_TRUST),
        ("index/index.jsonl", "index/head.json"),
    ),
    Command(("cohort", "check", "--site", "FOLDER/local/fedvoxel_site.json"), _CASES),
    Command(("cohort", "check", "--site", "FOLDER/local/fedvoxel_site.json", "--json"), _CASES),
    Command(("results", "FOLDER/result"), ("result/outcome.json",)),
)


@st.composite
def _calls(draw: st.DrawFn) -> tuple[Command, Spoiled]:
    command = draw(st.sampled_from(COMMANDS))
    return command, draw(spoiled(files_of(origin()), command.spoil))


def _call(case: tuple[Command, Spoiled], folder: Path) -> None:
    command, change = case
    given = lay_out(origin(), change, folder)
    words = [word.replace("FOLDER", str(given)) for word in command.words]
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace"))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        logging.getLogger().handlers.clear()
        code = main(words)
        out.flush()
        err.flush()
    shown = b"".join(stream.buffer.getvalue() for stream in (out, err)).decode()  # type: ignore[attr-defined]
    said = err.buffer.getvalue().decode()  # type: ignore[attr-defined]
    if code not in _CODES or "Traceback" in shown or "bug in fedvoxel" in shown:
        raise UnwantedError(f"{command.words[:2]} ended with {code}: {said[-1500:]}")
    if PLANTED in shown or PLANTED.split("^")[0] in shown:
        raise UnwantedError(f"{command.words[:2]} quotes a patient")
    if "\x1b" in shown or (code and code != 2 and not said.strip()):
        raise UnwantedError(f"{command.words[:2]} controls the terminal, or says nothing")
    if code:
        raise _RefusedError


class _RefusedError(Exception):
    pass


TARGETS = (Target("command", "commands", st.deferred(_calls), _call, (_RefusedError,)),)
