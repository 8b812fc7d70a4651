"""The table of formats is whole, and what the release before has left on disk is read without loss."""

import ast
import hashlib
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel import formats
from fedvoxel.config import FrozenModel, load_json_config, parse_config
from fedvoxel.errors import LedgerError, VersionError
from fedvoxel.export.releases import Releases
from fedvoxel.export.trust import Trust
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.flare.site_memory import begin_training
from fedvoxel.formats import AUDIT_LOG, BY_NAME, FORMATS, PRIVACY_LEDGER, SERVER_LEDGER, Content, Format
from fedvoxel.privacy.ledger import Ledger, open_ledger
from fedvoxel.privacy.policy import load_privacy_policy
from fedvoxel.privacy.reconcile import reconcile, site_releases
from fedvoxel.privacy.server_record import verify_server
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import AuditEvent
from fedvoxel.records.chain import Chain
from fedvoxel.records.identity import load_root
from fedvoxel.updates.weights_file import to_bytes
from tests.kept_files.make_files import COHORT, PLAN, RUN, SITE, update
from tests.sample_run import sample_outcome

PACKAGE = Path(formats.__file__).parent
LEFT = Path(__file__).parent / "kept_files" / "release_0_1_0"
"""Made by `make_files.py` under the code of release 0.1.0."""


def declared() -> Iterator[tuple[str, set[int]]]:
    """Yields every class of the package that has a schema_version, with the versions that it takes."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            fields = node.body if isinstance(node, ast.ClassDef) else []
            for said in fields:
                if isinstance(said, ast.AnnAssign) and ast.unparse(said.target) == "schema_version":
                    assert isinstance(node, ast.ClassDef)
                    numbers = {one.value for one in ast.walk(said.annotation) if isinstance(one, ast.Constant)}
                    yield f"{module}.{node.name}", {one for one in numbers if isinstance(one, int)} or {1}


def test_the_table_holds_every_format_and_no_other() -> None:
    lines = {PRIVACY_LEDGER, SERVER_LEDGER, AUDIT_LOG}
    assert {name for name, _ in declared()} == set(BY_NAME) - lines
    assert len(BY_NAME) == len(FORMATS)


def test_a_class_takes_what_is_written_and_older_content_that_has_no_step() -> None:
    for name, versions in declared():
        one = BY_NAME[name]
        stepless = {version for version in one.reads if not any(step >= version for step in one.steps)}
        assert versions == stepless, name
        assert one.writes == max(one.reads) and all(step in one.reads for step in one.steps), name


# ------------------------------------------------------------------ a format that has changed


class Thing(FrozenModel):
    schema_version: int = 3
    size_mm: float


def _renamed(content: Content) -> Content:
    return {"size_mm": content["size"]}


def _in_mm(content: Content) -> Content:
    return {"size_mm": content["size_mm"] * 10}


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A format of version 3: version 1 called the size otherwise, version 2 had it in cm."""
    one = Format(formats.name_of(Thing), "nowhere", 3, (1, 2, 3), {1: _renamed, 2: _in_mm})
    monkeypatch.setitem(BY_NAME, one.name, one)


@pytest.mark.usefixtures("changed")
@pytest.mark.parametrize(
    "content", [{"size": 2}, {"size": 2, "schema_version": 1}, {"size_mm": 2, "schema_version": 2}, {"size_mm": 20}]
)
def test_older_content_goes_up_step_by_step(content: dict[str, Any], tmp_path: Path) -> None:
    if content == {"size_mm": 20}:
        content = {**content, "schema_version": 3}
    path = tmp_path / "thing.json"
    path.write_text(json.dumps(content))
    before = path.read_bytes()
    assert load_json_config(Thing, path, "the thing") == Thing(size_mm=20)
    assert path.read_bytes() == before, "what is kept is not rewritten"


@pytest.mark.usefixtures("changed")
def test_newer_and_too_old_content_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        VersionError, match=r"the thing is of schema_version 4, .* reads 1, 2, 3: .*newer.*update fedvoxel"
    ):
        parse_config(Thing, {"schema_version": 4, "size_mm": 1}, "the thing")
    with pytest.raises(VersionError, match=r"schema_version 0, .* written by none that is read"):
        parse_config(Thing, {"schema_version": 0, "size_mm": 1}, "the thing")


# ------------------------------------------------------------------ what release 0.1.0 has left


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A copy of what release 0.1.0 has left."""
    shutil.copytree(LEFT, tmp_path / "left")
    return tmp_path / "left"


def test_a_sites_ledger_goes_on_without_loss(left: Path) -> None:
    kit = left / SITE
    path = kit / "state/privacy" / COHORT / "ledger.jsonl"
    lines = path.read_bytes()
    ledger = open_ledger(kit / "local", kit / "state", COHORT)
    before = ledger.status()
    assert [(run.run_key, run.drawn, run.kept) for run in before.runs] == [(RUN, 2, 2)]
    assert before.spent_epsilon > 0
    # Other processors round otherwise in the accountant's transforms.
    assert before.spent_epsilon == pytest.approx(Chain(path).read()[-1].body["spent_epsilon"], rel=1e-9)
    for index in range(2):
        release_id = ledger.kept(RUN, index, PLAN)
        assert release_id and ledger.bytes_to_send(release_id) == update(index)
    reservation = ledger.reserve(RUN, "job-2", 2, PLAN)
    ledger.keep(reservation, update(2))
    assert path.read_bytes().startswith(lines), "no line was changed"
    ledger.verify()
    # The run's draws were charged as a whole at its first one.
    assert ledger.status().spent_epsilon == pytest.approx(before.spent_epsilon)
    assert [(run.drawn, run.kept) for run in ledger.status().runs] == [(3, 3)]


def test_the_servers_ledger_and_the_sites_still_agree(left: Path) -> None:
    record = verify_server(left / "server/state")
    assert record.entries == 4 and not record.problems
    assert not reconcile(record, SITE, site_releases(left / SITE / "state")).problems


def test_the_audit_log_goes_on_without_loss(left: Path) -> None:
    log = AuditLog(left / "server/state")
    before = [event for _, event in log.read()]
    assert [(event.kind, event.outcome, event.task, event.round, event.site) for event in before] == [
        ("answer", "missing", "train", 0, "hospital-c"),
        ("answer", "refused", "validation", None, "hospital-b"),
    ]
    log.record([AuditEvent(kind="answer", outcome="missing", run_key=RUN, task="train", round=2, site="hospital-c")])
    assert [event for _, event in log.read()][:2] == before and len(log.read()) == 3


def test_an_outcome_is_read_as_it_was_written(left: Path) -> None:
    outcome = load_outcome(left / "server/state/runs" / RUN / OUTCOME_FILE)
    assert outcome == sample_outcome() and outcome.site_versions == {}


def test_an_index_of_releases_and_a_calibration_are_read(left: Path) -> None:
    trust = Trust(load_root(left / "releases/root.pem"))
    index = Releases(left / "releases/index", trust, left / "seen.json", datetime(2026, 4, 1, tzinfo=UTC))
    assert [(one.name, one.version, one.state) for one in index.all] == [("hippocampus", "1.0.0", "released")]
    path = left / "releases/calibration.json"
    assert load_json_config(Calibration, path, "the calibration").patients == 20


def test_a_sites_policy_memory_and_arrays_are_read(left: Path) -> None:
    assert load_privacy_policy(left / SITE / "local").budget(COHORT).epsilon == 8
    run = left / SITE / "state/runs" / RUN
    # What release 0.1.0 remembers belongs to a job, and no run that goes on: it is dropped.
    begin_training(run, COHORT, "run-1", "0" * 64)
    assert (run / f"run.{COHORT}.json").is_file()
    # What release 0.1.0 wrote of these arrays, byte for byte.
    content = to_bytes({"w": np.arange(4, dtype=np.float32)})
    assert hashlib.sha256(content).hexdigest() == "00942668f5de4466fe1780e293fab1a36d6ae4eefa08a0c58298842bec507201"


def test_a_newer_releases_lines_are_refused_by_name(left: Path) -> None:
    kit = left / SITE
    newer = {"schema_version": 2}
    Chain(left / "server/state/audit/audit.jsonl").append({"schema_version": 3})
    Chain(kit / "state/privacy" / COHORT / "ledger.jsonl").append(newer)
    Chain(left / "server/state/privacy/server.jsonl").append(newer)
    words = "is of schema_version 2, .* written by a newer release; update fedvoxel"
    with pytest.raises(LedgerError, match=f"line 8 of the ledger {words}"):
        Ledger(kit / "state/privacy", COHORT, load_privacy_policy(kit / "local").budget(COHORT)).status()
    with pytest.raises(LedgerError, match=f"line 5 of the server's ledger {words}"):
        verify_server(left / "server/state")
    with pytest.raises(
        LedgerError, match=r"line 3 of the audit log is of schema_version 3, .* reads 1, 2: .*newer release"
    ):
        AuditLog(left / "server/state").read()
    with pytest.raises(VersionError, match=words):
        parse_config(RunOutcome, sample_outcome().model_dump(mode="json") | newer, "the run's outcome")
