"""The site's deployer: what FLARE would put in place is what was approved, or it is not put there."""

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nvflare.lighter.utils
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.apis.workspace import Workspace
from nvflare.fuel.utils.zip_utils import zip_directory_to_bytes
from nvflare.lighter.utils import sign_folders
from nvflare.private.admin_defs import Message, MsgHeader, ReturnCode
from nvflare.private.defs import RequestHeader
from nvflare.private.fed.client.client_engine_internal_spec import ClientEngineInternalSpec
from nvflare.private.fed.client.client_req_processors import ClientRequestProcessors
from nvflare.private.fed.client.training_cmds import DeleteRunNumberProcessor, DeployProcessor

from fedvoxel.errors import FedVoxelError, LedgerError
from fedvoxel.flare import approved_deployer
from fedvoxel.flare.approved_deployer import ApprovedDeployer
from fedvoxel.flare.still_approved import check_still_approved
from fedvoxel.governance.approval_policy import APPROVAL_FILE
from fedvoxel.governance.approvals import Approvals
from fedvoxel.governance.audited_files import job_hash
from fedvoxel.governance.fetched_list import take_up_list
from fedvoxel.governance.submission import submission_of_folder
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.revocation import LIST_FILE
from tests.approval_kits import NOW, PHYSICIAN, SCIENTIST, Hospital, blob_job
from tests.blob_job import CLIENT, META
from tests.export.throwaway_root import Root

JOB = "5b1a8d62-7c0f-4d0e-9a43-0d6a2f6c9e10"


class Consortium:
    """Stands where FLARE's server does: it signs as the scientist's console and deploys to the hospital."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.hospital = folder, Hospital(folder)
        self.workspace = Workspace(str(self.hospital.kit.folder), site_name="hospital-a")
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.scientist = self.hospital.person(SCIENTIST, "consortium", role="lead", key=key)

    def job(self, name: str = "job", **changes: Any) -> Path:
        return blob_job(self.folder / name, **changes)

    def sign(self, job: Path) -> None:
        certificate = self.hospital.kit_of(SCIENTIST) / "startup" / "client.crt"
        sign_folders(str(job / "app"), self.scientist.key, str(certificate))

    def deploy(self, job: Path, **meta: Any) -> str:
        """Returns what the site says; empty where it took the job."""
        told = json.loads((job / META).read_text()) | {"job_id": JOB, "submitter_name": PHYSICIAN} | meta
        content = zip_directory_to_bytes(str(job / "app"), "")
        return ApprovedDeployer().deploy(self.workspace, JOB, told, "app", content, FLContext())

    def approve(self, job: Path, name: str = PHYSICIAN) -> None:
        kit = self.hospital.kit
        Approvals(kit).decide(self.hospital.person(name), submission_of_folder(job, kit.name), "approved", "", NOW)

    @property
    def app(self) -> Path:
        return Path(self.workspace.get_app_dir(JOB))

    def leaving(self) -> None:
        """Is what the job's own process asks before anything leaves."""
        context = FLContext()
        context.set_prop(FLContextKey.WORKSPACE_OBJECT, self.workspace, private=True, sticky=False)
        context.set_prop(FLContextKey.CURRENT_RUN, JOB, private=True, sticky=False)
        check_still_approved(context)


@pytest.fixture
def consortium(tmp_path: Path) -> Consortium:
    return Consortium(tmp_path)


def test_a_job_is_put_in_place_once_it_is_approved_and_is_kept_until_then(consortium: Consortium) -> None:
    consortium.hospital.rule(approvals=1)
    job, kit = consortium.job(), consortium.hospital.kit
    consortium.sign(job)
    assert "0 of 1 approvals" in consortium.deploy(job)
    assert not consortium.app.exists()
    (arrival,) = Approvals(kit).read().arrivals
    # Not PHYSICIAN, whom the server named: what the signature proves.
    assert (arrival.submitter, arrival.organisation, arrival.job_id) == (SCIENTIST, "consortium", JOB)
    assert Approvals(kit).content(arrival.content) == submission_of_folder(job, kit.name)
    (refused,) = [event for _, event in AuditLog(kit.state).read()]
    assert (refused.kind, refused.outcome, refused.site, refused.job_id) == ("job", "refused", "hospital-a", JOB)
    assert refused.actor and refused.actor.name == SCIENTIST and refused.hashes["content"] == arrival.content

    consortium.approve(job)
    assert consortium.deploy(job) == ""
    assert (consortium.app / "config" / "config_fed_client.json").is_file()
    *_, taken = [event for _, event in AuditLog(kit.state).read()]
    assert (taken.kind, taken.outcome, taken.actor, taken.reason) == ("job", "done", refused.actor, "")
    assert taken.hashes == refused.hashes | {"job": job_hash(consortium.app)}


def test_what_flare_does_not_put_in_place_and_what_nobody_can_judge_is_on_record(consortium: Consortium) -> None:
    job, kit = consortium.job(), consortium.hospital.kit
    consortium.app.parent.write_text("in the way")
    assert consortium.deploy(job)
    (kit.local / APPROVAL_FILE).unlink()
    assert consortium.deploy(job)
    events = [event for _, event in AuditLog(kit.state).read()]
    assert [event.outcome for event in events] == ["refused", "refused"]
    assert "FLARE did not put it in place" in events[0].reason and "cannot tell" in events[1].reason


class Engine(ClientEngineInternalSpec):
    """What FLARE's way of taking a job touches of a site's engine."""

    def __init__(self, consortium: Consortium, deployer: ApprovedDeployer) -> None:
        self.args = SimpleNamespace(workspace=consortium.workspace.get_root_dir())
        self._workspace, self._deployer = consortium.workspace, deployer

    def get_client_name(self) -> str:
        return "hospital-a"

    def deploy_app(self, app_name: str, job_id: str, job_meta: dict[str, Any], client_name: str, app_data: Any) -> str:
        return self._deployer.deploy(self._workspace, job_id, job_meta, app_name, app_data, FLContext())


Engine.__abstractmethods__ = frozenset()


@pytest.fixture
def takes(consortium: Consortium, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Message]:
    """Hands a job to FLARE's way of taking one, as it is after a site's bootstrap."""
    taker, deployer, context = DeployProcessor(), ApprovedDeployer(), FLContext()
    monkeypatch.setattr(ClientRequestProcessors, "request_processors", [taker])
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, consortium.workspace, private=True)
    context.put(ReservedKey.IDENTITY_NAME, "hospital-a", private=True, sticky=False)
    deployer.handle_event(EventType.SYSTEM_BOOTSTRAP, context)

    def take(content: Any, meta: dict[str, Any] | None) -> Message:
        request = Message(topic="deploy", body=content)
        for key, value in (("JOB_ID", JOB), ("JOB_META", meta), ("APP_NAME", "app")):
            request.set_header(getattr(RequestHeader, key), value)
        return taker.process(request, Engine(consortium, deployer))

    return take


def test_what_flare_refuses_before_it_asks_the_deployer_is_on_record(
    consortium: Consortium, takes: Callable[..., Message]
) -> None:
    job, log = consortium.job(), AuditLog(consortium.hospital.kit.state)
    meta = json.loads((job / META).read_text()) | {"job_id": JOB}
    unsigned = zip_directory_to_bytes(str(job / "app"), "")
    consortium.sign(job)
    signed = zip_directory_to_bytes(str(job / "app"), "")
    (job / CLIENT).write_text((job / CLIENT).read_text() + " ")
    changed = zip_directory_to_bytes(str(job / "app"), "")
    for content, told, why in (
        (b"no archive", meta, "failed to stage"),
        (changed, meta, "does not pass signature verification"),
        (unsigned, meta, "unsigned job rejected"),
        (signed, None, "missing job meta"),
        ({"no": "bytes"}, meta, "failed to stage"),
    ):
        takes(content, told)
        *_, event = [event for _, event in log.read()]
        assert (event.kind, event.outcome, event.site, event.job_id) == ("job", "refused", "hospital-a", JOB)
        assert why in event.reason
    before = len(log.read())
    takes(signed, meta)
    consortium.hospital.rule(approvals=1)
    takes(signed, meta)
    assert [event.outcome for _, event in log.read()][before:] == ["done", "refused"], "once each"


@pytest.mark.parametrize("folder", ["state", "local", "startup", "5B1A8D62-7C0F-4D0E-9A43-0D6A2F6C9E10"])
def test_a_server_that_calls_a_job_as_a_folder_of_the_kit_has_nothing_done_there(
    folder: str, consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the folders of every kit: a job's id in other letters, of which some disk may make the same folder."""
    kit, context = consortium.hospital.kit, FLContext()
    remover = DeleteRunNumberProcessor()
    monkeypatch.setattr(ClientRequestProcessors, "request_processors", [DeployProcessor(), remover])
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, consortium.workspace, private=True)
    context.put(ReservedKey.IDENTITY_NAME, "hospital-a", private=True, sticky=False)
    ApprovedDeployer().handle_event(EventType.SYSTEM_BOOTSTRAP, context)
    asked: list[str] = []
    engine = Engine(consortium, ApprovedDeployer())
    monkeypatch.setattr(engine, "delete_run", lambda job_id: asked.append(job_id) or "", raising=False)

    def remove(job_id: str) -> Message:
        request = Message(topic="delete_run", body="")
        request.set_header(RequestHeader.JOB_ID, job_id)
        return remover.process(request, engine)

    assert remove(folder).get_header(MsgHeader.RETURN_CODE) == ReturnCode.ERROR and asked == []
    *_, event = [event for _, event in AuditLog(kit.state).read()]
    assert (event.outcome, event.job_id) == ("refused", folder) and "expected a UUID" in event.reason
    remove(JOB)
    assert asked == [JOB]


def test_a_site_whose_flare_takes_jobs_in_another_way_does_not_start(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClientRequestProcessors, "request_processors", [])
    context = FLContext()
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, consortium.workspace, private=True)
    with pytest.raises(UnsafeComponentError, match="DeployProcessor"):
        ApprovedDeployer().handle_event(EventType.SYSTEM_BOOTSTRAP, context)


@pytest.mark.parametrize("spoil", ["list", "approvals"])
def test_what_the_deployer_itself_cannot_judge_is_on_record(consortium: Consortium, spoil: str) -> None:
    job, kit = consortium.job(), consortium.hospital.kit
    consortium.sign(job)
    assert consortium.deploy(job) == ""
    if spoil == "list":
        (kit.startup / LIST_FILE).write_text("torn")
    else:
        (kit.state / "approvals").mkdir()
        (kit.state / "approvals" / "approvals.jsonl").write_text("torn\n")
    assert "cannot tell" in consortium.deploy(job)
    *_, event = [event for _, event in AuditLog(kit.state).read()]
    assert (event.outcome, event.job_id) == ("refused", JOB) and "cannot tell" in event.reason
    assert not consortium.app.exists()


def test_a_job_that_the_audit_has_no_room_for_does_not_stay_in_place(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise LedgerError("no room")

    monkeypatch.setattr(AuditLog, "record", full)
    assert "cannot tell" in consortium.deploy(consortium.job())
    assert not consortium.app.exists()


def test_what_the_server_changed_after_the_signature_is_not_taken(consortium: Consortium) -> None:
    consortium.hospital.rule(approvals=1)
    job = consortium.job()
    consortium.sign(job)
    consortium.approve(job)
    assert "0 of 1 approvals" in consortium.deploy(job, scope="other")
    assert "0 of 1 approvals" in consortium.deploy(job, launcher_spec=None, custom_props={"a": 1})
    (job / CLIENT).write_text((job / CLIENT).read_text() + " ")
    assert "signature is not" in consortium.deploy(job)
    assert not consortium.app.exists()


def test_a_file_that_the_server_took_away_is_noticed(consortium: Consortium) -> None:
    consortium.hospital.rule(approvals=1)
    job = consortium.job()
    consortium.sign(job)
    consortium.approve(job)
    (job / "app" / "config" / "config_fed_server.json").unlink()  # FLARE's signatures would not tell
    assert "0 of 1 approvals" in consortium.deploy(job)


def test_a_job_that_nobody_signed_is_taken_only_where_nobodys_approval_is_wanted(consortium: Consortium) -> None:
    job = consortium.job()
    consortium.approve(job)
    consortium.hospital.rule(approvals=1)
    assert "nobody has signed" in consortium.deploy(job)
    consortium.hospital.rule()
    assert consortium.deploy(job) == ""


def test_code_is_declined_and_kept_to_be_looked_at(consortium: Consortium) -> None:
    job = consortium.job(code={"custom/net.py": "import torch\n"})
    consortium.sign(job)
    assert consortium.deploy(job) == "this hospital takes no job with code"
    consortium.hospital.rule(code="approved")
    assert "0 of 1 approvals" in consortium.deploy(job)
    consortium.approve(job)
    assert consortium.deploy(job) == ""
    assert (consortium.app / "custom" / "net.py").is_file()
    (consortium.app / "custom" / "__pycache__").mkdir()
    (consortium.app / "custom" / "__pycache__" / "net.cpython-311.pyc").write_bytes(b"made by Python here")
    consortium.leaving()
    (consortium.app / "custom" / "other.py").write_text("a = 1\n")
    with pytest.raises(FedVoxelError, match="signature is not"):
        consortium.leaving()


@pytest.mark.parametrize("spoil", ["missing", "wrong"])
def test_a_rule_that_cannot_be_read_lets_nothing_in_and_says_no_path(
    consortium: Consortium, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    job, rule = consortium.job(), consortium.hospital.kit.local / APPROVAL_FILE
    rule.unlink() if spoil == "missing" else rule.write_text('{"approvals": -1}')
    with caplog.at_level(logging.ERROR):
        said = consortium.deploy(job)
    assert "cannot tell whether the job is approved" in said and str(consortium.folder) not in said
    assert "job_not_judged" in caplog.text
    assert not consortium.app.exists()


def test_nothing_leaves_once_the_content_changed_or_the_approval_is_taken_back(consortium: Consortium) -> None:
    consortium.hospital.rule(approvals=1)
    job, kit = consortium.job(), consortium.hospital.kit
    consortium.sign(job)
    consortium.approve(job)
    assert consortium.deploy(job) == ""
    consortium.leaving()

    placed = consortium.app / "config" / "config_fed_client.json"
    before = placed.read_text()
    placed.write_text(before.replace('"blobs"', '"other"'))
    with pytest.raises(FedVoxelError, match="signature is not"):
        consortium.leaving()
    placed.write_text(before)
    consortium.leaving()
    submission = submission_of_folder(job, kit.name)
    again = Approvals(kit)
    again.decide(consortium.hospital.person("officer@hospital-a.example"), submission, "refused", "", NOW)
    with pytest.raises(FedVoxelError, match="has refused"):
        consortium.leaving()


def test_a_job_of_a_person_who_was_revoked_is_not_taken_whatever_the_rule(consortium: Consortium) -> None:
    job, kit = consortium.job(), consortium.hospital.kit
    consortium.sign(job)
    assert consortium.deploy(job) == ""
    consortium.hospital.revoke(consortium.scientist)
    assert f"with which {SCIENTIST} signed the job is revoked" in consortium.deploy(job)
    _, refused = [event for _, event in AuditLog(kit.state).read()]
    assert (refused.kind, refused.outcome, refused.job_id) == ("job", "refused", JOB) and "revoked" in refused.reason
    listed = (kit.startup / LIST_FILE).read_bytes()
    assert take_up_list(kit, listed)
    (kit.startup / LIST_FILE).write_text("torn")
    assert "cannot tell whether the job is approved" in consortium.deploy(job)
    (kit.startup / LIST_FILE).unlink()
    assert "cannot tell whether the job is approved" in consortium.deploy(job)


def test_a_job_that_runs_goes_on_when_its_signers_certificate_ends(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    consortium.hospital.rule(approvals=1, submitter_may_approve=False)
    job = consortium.job()
    consortium.sign(job)
    consortium.approve(job)
    assert consortium.deploy(job) == ""
    monkeypatch.setattr(nvflare.lighter.utils, "_utc_now", lambda: NOW + timedelta(days=31))
    consortium.leaving()
    note = consortium.app.parent / "fedvoxel_taken.json"
    note.write_text(note.read_text()[:-9])
    with pytest.raises(FedVoxelError, match="signature is not"):
        consortium.leaving()


def test_a_job_that_runs_goes_on_when_the_root_of_its_signer_is_dropped(consortium: Consortium) -> None:
    consortium.hospital.rule(cohorts={"rare": 1})
    job, root = consortium.job(), consortium.hospital.kit.root_certificate
    consortium.sign(job)
    assert consortium.deploy(job) == ""
    root.write_bytes(Root("small 2", around=NOW).certificate.public_bytes(Encoding.PEM))
    consortium.leaving()
    (consortium.app / "config" / "config_fed_client.json").write_text("{}")
    with pytest.raises(FedVoxelError, match="a root that is not trusted"):
        consortium.leaving()


def test_a_note_that_cannot_be_written_costs_no_job(consortium: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    consortium.hospital.rule(approvals=1)
    job = consortium.job()
    consortium.sign(job)
    consortium.approve(job)
    monkeypatch.setattr(approved_deployer, "note_taken", full)
    assert consortium.deploy(job) == ""
    consortium.leaving()


def test_where_nobody_approves_nothing_is_looked_up_before_something_leaves(consortium: Consortium) -> None:
    consortium.leaving()
    (consortium.hospital.kit.local / APPROVAL_FILE).unlink()
    with pytest.raises(FedVoxelError, match="approval policy is missing"):
        consortium.leaving()


def test_a_refusal_counts_where_nobody_has_to_approve(consortium: Consortium) -> None:
    job, kit = consortium.job(), consortium.hospital.kit
    consortium.sign(job)
    assert consortium.deploy(job) == ""
    consortium.leaving()
    Approvals(kit).decide(consortium.hospital.person(), submission_of_folder(job, kit.name), "refused", "", NOW)
    with pytest.raises(FedVoxelError, match="has refused"):
        consortium.leaving()
    assert "has refused" in consortium.deploy(job)


@pytest.mark.parametrize("name", ["config/config_fed_client.conf", "config/x.yml", "custom/config_fed_client.conf"])
@pytest.mark.parametrize("code", ["never", "approved"])
def test_settings_that_may_include_a_file_are_put_nowhere(consortium: Consortium, name: str, code: str) -> None:
    consortium.hospital.rule(code=code)
    job = consortium.job()
    (job / "app" / name).parent.mkdir(exist_ok=True)
    (job / "app" / name).write_text('include file("/etc/hostname")\n')
    consortium.sign(job)
    assert "settings that are no JSON" in consortium.deploy(job)
    assert not consortium.app.exists()
    (refused,) = [event for _, event in AuditLog(consortium.hospital.kit.state).read()]
    assert refused.outcome == "refused" and "settings that are no JSON" in refused.reason
