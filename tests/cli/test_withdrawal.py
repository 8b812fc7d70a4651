"""`fedvoxel consortium withdraw` and `verify-withdrawal` as an operator and a hospital call them."""

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.main import main
from fedvoxel.errors import LedgerError, PackageError
from fedvoxel.export.package import Package
from fedvoxel.export.publishing import Publisher
from fedvoxel.export.release import State
from fedvoxel.export.releases import Releases
from fedvoxel.export.trust import read_trust
from fedvoxel.federation.kept_models import BEFORE_JOINING
from fedvoxel.federation.outcome import OUTCOME_FILE, load_outcome
from fedvoxel.governance import withdrawal_issue
from fedvoxel.governance.authority_store import PASSPHRASE_VARIABLE
from fedvoxel.governance.consortium import Consortium, load_consortium
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.identity import load_identity
from tests.consortium_kits import PASSPHRASE, small_consortium
from tests.export.package_sample import sample_package
from tests.flare.test_controller import run_sites, well_behaved
from tests.late_sites import joining
from tests.signed_log import sign_log

Out = pytest.CaptureFixture[str]
LEAVER, OPERATOR, LEAD = "hospital-b", "admin@consortium.example", "scientist@consortium.example"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose server has a run that hospital-b joined in round 1 of 3, and one without it."""
    workspace = small_consortium(tmp_path_factory.mktemp("made")).workspace
    made = load_consortium(workspace)
    kit = made.server_kit
    others = {"hospital-a": well_behaved, "hospital-c": well_behaved}
    run_sites(kit, others | {LEAVER: joining(1)}, num_rounds=3)
    run_sites(kit, others, run_key="without", job_id="job-2", num_rounds=3, server_optimizer={"name": "adam"})
    signer = {"hospital-a": load_identity(made.kit("hospital-a") / "startup")}
    sign_log(kit / "state", signer, read_trust(kit), datetime.now(UTC), tmp_path_factory.mktemp("own"))
    return workspace


@pytest.fixture
def consortium(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Consortium:
    """A copy of it."""
    monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)
    monkeypatch.chdir(tmp_path)
    return load_consortium(Path(shutil.copytree(made, tmp_path / "w")))


def package_of(consortium: Consortium, folder: Path, version: str, run_key: str | None) -> Package:
    """Makes a package of a run's last model; one that says nothing of its run where the key is None."""
    members = {}
    if run_key:
        outcome = load_outcome(consortium.server_kit / "state/runs" / run_key / OUTCOME_FILE)
        assert outcome.model
        origin = {
            **{
                name: getattr(outcome, name) for name in ("job_name", "job_id", "run_key", "status", "rounds_committed")
            },
            **{name: getattr(outcome, name).isoformat() for name in ("started", "finished")},
            **{"model_sha256": outcome.model.sha256, "outcome_sha256": "0" * 64, "round": 2, "tested": False},
            "audit_head": None,
        }
        said = {"schema_version": 1, "origin": origin, "privacy": {"start_from": None}}
        members = {"provenance.json": json.dumps(said).encode()}
    lead = load_identity(consortium.kit(LEAD) / "startup")
    return sample_package(folder, members=members, identity=lead, now=datetime.now(UTC), version=version)


def publish(consortium: Consortium, folder: Path, version: str, run_key: str | None) -> None:
    """Publishes a release of that."""
    lead, trust = load_identity(consortium.kit(LEAD) / "startup"), read_trust(consortium.kit(LEAD))
    package = package_of(consortium, folder, version, run_key)
    publisher = Publisher(folder / "index", lead, trust, folder / "seen.json")
    publisher.publish(package.path, "released", "3 seeds", datetime.now(UTC))


@pytest.fixture
def index(consortium: Consortium, tmp_path: Path) -> Path:
    """An index with a release of each kind."""
    for version, run_key in (("1.0.0", "a_run"), ("1.1.0", "without"), ("1.2.0", None)):
        publish(consortium, tmp_path, version, run_key)
    return tmp_path / "index"


def states(consortium: Consortium, index: Path) -> dict[str, State]:
    trust = read_trust(consortium.server_kit)
    return {one.version: one.state for one in Releases(index, trust, index.parent / "seen.json").all}


def words(consortium: Consortium, *more: object, sign: str | None = None, state: Path | None = None) -> list[str]:
    given = ["consortium", "withdraw", LEAVER, "--state", state or consortium.server_kit, "-w", consortium.workspace]
    return [str(word) for word in (*given, *(["--sign", consortium.kit(sign)] if sign else []), *more)]


def of_index(index: Path) -> tuple[object, ...]:
    return "--releases", index, "--seen", index.parent / "seen.json"


def revoke(consortium: Consortium, capsys: Out) -> None:
    given = ["consortium", "revoke", LEAVER, "-w", str(consortium.workspace), "--reason", "left", "--yes"]
    assert main(given) == 0
    capsys.readouterr()


def said(consortium: Consortium) -> list[Any]:
    """Returns what the server's log has of the command."""
    events = [event for _, event in AuditLog(consortium.server_kit / "state").read()]
    return [event for event in events if event.task == "consortium withdraw"]


def test_looking_changes_nothing_and_says_what_stands_against_a_certificate(
    consortium: Consortium, index: Path, capsys: Out
) -> None:
    log = consortium.server_kit / "state/audit/audit.jsonl"
    before = log.read_bytes()
    assert main(words(consortium, *of_index(index), "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(run["run_key"], run["part"], run["joined_round"]) for run in found["runs"]] == [("a_run", "trained", 1)]
    assert found["start_from"] == {"a_run": {"run_key": "a_run", "before_site": LEAVER}}
    verdicts = {one["version"]: one["verdict"] for one in found["releases"]}
    assert verdicts == {"1.0.0": "contains", "1.1.0": "clean", "1.2.0": "unclear"}
    assert found["revoked"] == [] and "fedvoxel consortium revoke hospital-b" in found["not_revoked"]
    assert main(words(consortium, *of_index(index), state=consortium.server_kit / "state")) == 0
    shown = capsys.readouterr().out
    assert "trained from round 1 on" in shown and '"before_site": "hospital-b"' in shown and "could come back" in shown
    assert log.read_bytes() == before and said(consortium) == []
    assert states(consortium, index) == dict.fromkeys(("1.0.0", "1.1.0", "1.2.0"), "released")


def test_nothing_is_certified_or_withdrawn_before_the_certificate_is_revoked(
    consortium: Consortium, index: Path, tmp_path: Path, capsys: Out
) -> None:
    assert main(words(consortium, *of_index(index), sign=OPERATOR)) == 8
    assert "could come back: revoke it: fedvoxel consortium revoke hospital-b" in capsys.readouterr().err
    crl = consortium.server_kit / "startup/crl.pem"
    old = crl.read_bytes()
    revoke(consortium, capsys)
    crl.write_bytes(old)
    assert main(words(consortium, *of_index(index), sign=OPERATOR)) == 8
    assert "copy authority/crl.pem to the server's startup/" in capsys.readouterr().err
    assert not list(tmp_path.glob("withdrawal-*")) and states(consortium, index)["1.0.0"] == "released"
    assert [(one.outcome, one.site) for one in said(consortium)] == [("refused", LEAVER)] * 2


def test_no_other_package_of_a_withdrawn_run_is_published(
    consortium: Consortium, index: Path, tmp_path: Path, capsys: Out
) -> None:
    lead = ["--sign", str(consortium.kit(LEAD)), "--reason", "calibrated", "--seen", str(tmp_path / "seen.json")]

    def released(version: str, run_key: str | None, *more: str) -> int:
        package = package_of(consortium, tmp_path, version, run_key)
        return main(["release", "publish", str(package.path), str(index), *lead, *more])

    assert released("1.3.0", "a_run") == 0
    given = ["release", "set", "withdrawn", str(index), "hippocampus", "1.0.0", *lead]
    assert main(given) == 0
    capsys.readouterr()
    assert released("1.4.0", "a_run") == 17
    assert "hippocampus 1.0.0, of run a_run, was withdrawn" in capsys.readouterr().err
    assert released("1.4.0", "without") == 0 and released("1.5.0", None) == 0
    assert released("1.6.0", "a_run", "--despite-withdrawn") == 0
    assert set(states(consortium, index)) == {"1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0", "1.6.0"}
    next(index.rglob("*1.0.0*")).unlink()
    assert released("1.7.0", "a_run") == released("1.7.0", "without") == 17
    assert "1.0.0 is withdrawn, and its package cannot be read" in capsys.readouterr().err
    assert released("1.7.0", "without", "--despite-withdrawn") == 0


@pytest.mark.parametrize("damage", [b"", b"-----BEGIN X509 CRL-----\nx\n-----END X509 CRL-----\n"])
def test_a_damaged_list_certifies_nothing(consortium: Consortium, damage: bytes, capsys: Out) -> None:
    revoke(consortium, capsys)
    (consortium.server_kit / "startup/crl.pem").write_bytes(damage)
    assert main(words(consortium, sign=OPERATOR)) == 8
    assert "revocation list" in capsys.readouterr().err


def test_a_hospital_gets_it_in_writing_and_can_verify_it(
    consortium: Consortium, index: Path, tmp_path: Path, capsys: Out
) -> None:
    revoke(consortium, capsys)
    assert main(words(consortium, *of_index(index), sign=OPERATOR)) == 0
    file = tmp_path / f"withdrawal-{LEAVER}.json"
    assert "verify-withdrawal" in capsys.readouterr().out
    assert states(consortium, index) == {"1.0.0": "withdrawn", "1.1.0": "released", "1.2.0": "released"}
    (event,) = said(consortium)
    assert event.outcome == "done" and event.hashes == {"certificate": hashlib.sha256(file.read_bytes()).hexdigest()}
    given = ["consortium", "verify-withdrawal", str(file), "--root", str(consortium.kit("hospital-a"))]
    assert main([*given, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["signed_by"]["name"] == OPERATOR and shown["model"] is None
    statement = shown["statement"]
    assert [(one["version"], one["reason"]) for one in statement["releases"]] == [
        ("1.0.0", "a hospital that contributed to this model has withdrawn from the consortium")
    ]
    assert len(statement["unclear_releases"]) == 1 and "hippocampus 1.2.0" in statement["unclear_releases"][0]
    assert len(statement["revoked"]) == 1
    run = consortium.server_kit / "state/runs/a_run"
    kept = run / BEFORE_JOINING / "round-0001.npz"
    assert main([*given, "--model", str(kept)]) == 0
    assert "certified to exclude hospital-b: run a_run, before round 1" in capsys.readouterr().out
    assert main([*given, "--model", str(run / "global_model.npz"), "--json"]) == 17
    told = capsys.readouterr()
    assert json.loads(told.out)["model"]["verdict"] == "holds" and "holds updates of hospital-b" in told.err
    assert main([*given, "--model", str(consortium.server_kit / "state/runs/without/global_model.npz")]) == 17
    assert "does not name this model" in capsys.readouterr().err
    assert main([*given, "--model", str(tmp_path / "none.npz")]) == 17
    assert "cannot be read" in capsys.readouterr().err


def test_it_can_be_issued_again_with_releases_that_are_withdrawn_already(
    consortium: Consortium, index: Path, tmp_path: Path, capsys: Out
) -> None:
    revoke(consortium, capsys)
    for name in ("first.json", "second.json"):
        assert main(words(consortium, *of_index(index), "--out", tmp_path / name, sign=OPERATOR)) == 0
    first, second = (json.loads((tmp_path / f"{name}.json").read_text())["statement"] for name in ("first", "second"))
    assert first["releases"] == second["releases"] and first["runs"] == second["runs"]


def cannot_be_valid(out: Path, consortium: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withdrawal_issue, "NOT_UNDONE", ())


def no_place_for_the_file(out: Path, consortium: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    out.mkdir()


def no_log(out: Path, consortium: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: AuditLog, events: Any) -> None:
        raise LedgerError("audit.jsonl cannot be read or written (No space left on device)")

    monkeypatch.setattr(AuditLog, "record", full)


@pytest.mark.parametrize(("fault", "code"), [(cannot_be_valid, 17), (no_place_for_the_file, 17), (no_log, 12)])
def test_no_release_is_withdrawn_for_a_certificate_that_cannot_be(
    fault: Any, code: int, consortium: Consortium, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: Out,
) -> None:  # fmt: skip
    revoke(consortium, capsys)
    out = tmp_path / "out.json"
    fault(out, consortium, monkeypatch)
    assert main(words(consortium, *of_index(index), "--out", out, sign=OPERATOR)) == code
    assert states(consortium, index)["1.0.0"] == "released" and not out.is_file()
    assert not list(tmp_path.glob(".*")), "what was written before its place was sure"


def test_a_reason_that_the_index_cannot_hold_is_refused(consortium: Consortium, index: Path, capsys: Out) -> None:
    revoke(consortium, capsys)
    assert main(words(consortium, *of_index(index), "--reason", "x" * 5000, sign=OPERATOR)) == 3
    assert "the withdrawal of a release is not valid: reason" in capsys.readouterr().err
    assert states(consortium, index)["1.0.0"] == "released"


def test_a_release_that_cannot_be_withdrawn_leaves_no_certificate_that_says_so(
    consortium: Consortium, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    def refuses(*said: Any) -> None:
        raise PackageError("the index cannot be written")

    revoke(consortium, capsys)
    with monkeypatch.context() as full:
        full.setattr(Publisher, "set_state", refuses)
        assert main(words(consortium, *of_index(index), sign=OPERATOR)) == 17
    assert not list(tmp_path.glob("*withdrawal-*")) and not list(tmp_path.glob(".*"))
    assert [one.outcome for one in said(consortium)] == ["done", "refused"]
    assert main(words(consortium, *of_index(index), sign=OPERATOR)) == 0
    assert states(consortium, index)["1.0.0"] == "withdrawn"


def test_who_is_no_operator_changes_nothing(consortium: Consortium, index: Path, tmp_path: Path, capsys: Out) -> None:
    revoke(consortium, capsys)
    assert main(words(consortium, *of_index(index), sign=LEAD)) == 17
    assert "may not issue a certificate of withdrawal; the consortium's project_admin does" in capsys.readouterr().err
    assert states(consortium, index)["1.0.0"] == "released" and not list(tmp_path.glob("withdrawal-*"))


def test_nothing_is_withdrawn_while_a_run_of_the_site_goes_on(consortium: Consortium, index: Path, capsys: Out) -> None:
    revoke(consortium, capsys)
    path = consortium.server_kit / "state/runs/a_run" / OUTCOME_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "unfinished"}))
    assert main(words(consortium, *of_index(index), sign=OPERATOR)) == 8
    assert "run a_run has not ended" in capsys.readouterr().err
    assert states(consortium, index)["1.0.0"] == "released"
    assert main(words(consortium)) == 0
    assert "Run a_run has not ended" in capsys.readouterr().out


def test_a_changed_certificate_or_another_consortiums_is_refused(
    consortium: Consortium, tmp_path: Path, capsys: Out
) -> None:
    revoke(consortium, capsys)
    assert main(words(consortium, "--json", sign=OPERATOR)) == 0
    assert json.loads(capsys.readouterr().out)["file"] == f"withdrawal-{LEAVER}.json"
    file = tmp_path / f"withdrawal-{LEAVER}.json"
    file.write_text(file.read_text().replace('"joined_round": 1', '"joined_round": 2'))
    given = ["consortium", "verify-withdrawal", str(file), "--root", str(consortium.kit("hospital-a"))]
    assert main(given) == 17
    assert "it was changed, or another signed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("site", "place", "code", "reason"),
    [
        ("hospital-z", ".", 8, "no site 'hospital-z' has ever had a certificate"),
        (LEAVER, "startup", 3, "expected the server's kit, or the state folder in it, got startup"),
    ],
)
def test_who_and_what_is_not_there_is_said(
    site: str, place: str, code: int, reason: str, consortium: Consortium, capsys: Out
) -> None:
    given = ["consortium", "withdraw", site, "--state", str(consortium.server_kit / place)]
    assert main([*given, "-w", str(consortium.workspace), "--sign", str(consortium.kit(OPERATOR))]) == code
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("command", ["withdraw", "verify-withdrawal"])
def test_help_has_an_example(command: str, capsys: Out) -> None:
    assert main(["consortium", command, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"Example: fedvoxel consortium {command}" in shown and "17 if" in shown
