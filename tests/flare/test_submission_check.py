"""What the server looks at before FLARE does, and what the console's replies do not tell."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from nvflare.fuel.hci.conn import Connection
from nvflare.fuel.hci.proto import MetaStatusValue, make_meta
from nvflare.fuel.hci.server.constants import ConnProps

from fedvoxel.flare.hidden_tokens import HiddenTokens
from fedvoxel.flare.submission_check import SubmissionCheck
from tests.approval_kits import Hospital, blob_job
from tests.bad_archives import BAD_ARCHIVES, archive_of

Refusals = list[tuple[str, str, str]]


@pytest.fixture
def refusals() -> Refusals:
    return []


@pytest.fixture
def consortium(tmp_path: Path) -> Hospital:
    made = Hospital(tmp_path / "consortium")
    made.person("lead@x.example", "x", role="lead", key=rsa.generate_private_key(65537, 2048))
    return made


@pytest.fixture
def check(consortium: Hospital, refusals: Refusals) -> SubmissionCheck:
    return SubmissionCheck(consortium.kit.root_certificate, lambda *said: refusals.append(said))


def _uploaded(path: Path, content: bytes) -> Connection:
    path.write_bytes(content)
    conn = Connection()
    conn.set_prop(ConnProps.USER_NAME, "lead@x.example")
    conn.set_prop(ConnProps.FILE_LOCATION, str(path))
    return conn


def test_a_bad_archive_is_refused_and_audited(tmp_path: Path, check: SubmissionCheck, refusals: Refusals) -> None:
    conn = _uploaded(tmp_path / "upload", archive_of(blob_job(tmp_path / "job"), BAD_ARCHIVES["HOCON meta"][0]))
    assert not check.pre_command(conn, ["job.submit_job", "job"])
    assert refusals == [("submit_job", "lead@x.example", conn.buffer.meta["info"])]
    assert conn.buffer.meta["status"] == MetaStatusValue.INVALID_JOB_DEFINITION


def test_a_job_goes_on_to_flare_and_what_flare_refuses_is_told(
    tmp_path: Path, consortium: Hospital, check: SubmissionCheck, refusals: Refusals
) -> None:
    job = consortium.signed(blob_job(tmp_path / "job"), "lead@x.example")
    conn = _uploaded(tmp_path / "upload", archive_of(job))
    assert check.pre_command(conn, ["job.submit_job", "job"])
    conn.append_success("", meta=make_meta(MetaStatusValue.OK))
    check.post_command(conn, ["job.submit_job", "job"])
    assert refusals == [] and (tmp_path / "upload").exists()
    conn.append_error("no deploy_map", meta=make_meta(MetaStatusValue.INVALID_JOB_DEFINITION, "no deploy_map"))
    check.post_command(conn, ["job.submit_job", "job"])
    assert refusals == [("submit_job", "lead@x.example", "no deploy_map")]


def test_other_commands_are_not_looked_at(check: SubmissionCheck, refusals: Refusals) -> None:
    conn = Connection()
    assert check.pre_command(conn, ["list_jobs"])
    conn.append_error("failed")
    check.post_command(conn, ["list_jobs"])
    assert refusals == []


def test_no_reply_names_a_sites_token() -> None:
    conn, secret = Connection(), "2a1b8bf8-9d7c-4c5c-86c4-ac764aef7254"
    table = conn.append_table(["client", "token"], name="clients")
    table.add_row(["hospital-a", secret], meta={"client_name": "hospital-a", "key": secret})
    conn.append_string(f"token={secret}, and no other", meta={"deep": [{"token": secret}]})
    conn.append_dict({"a": [secret, 1, None]})
    HiddenTokens(lambda: [secret, ""]).post_command(conn, ["check_status", "server"])
    sent = conn.close()
    assert sent and secret not in sent and sent.count("hidden") == 5
    assert '"hospital-a"' in sent and "and no other" in sent
