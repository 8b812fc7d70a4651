"""Whose signature of a job counts: not that of a revoked person, and what is wrong with one is said."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from nvflare.lighter.tool_consts import NVFLARE_SIG_FILE, NVFLARE_SUBMITTER_CRT_FILE
from nvflare.lighter.utils import sign_folders

from fedvoxel.errors import ConsortiumError, JobError
from fedvoxel.flare.job_signer import signer_of
from fedvoxel.governance.authority import Authority, written
from fedvoxel.governance.holder import Holder
from fedvoxel.governance.rotation import begin_rotation, finish_rotation
from fedvoxel.records.revocation import kept_lists
from tests.fuzz.der import pem, said_in, signed_anew, signs
from tests.governance.quick_authority import PASSPHRASE, quick_authority

LEAD = Holder("lead@a.example", "hospital_a", "person", "lead")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def signed_app(folder: Path, authority: Authority, days: int = 90) -> Path:
    """Writes an app, of a job that trains, that the lead has signed with a new certificate."""
    app = folder / "app"
    (app / "config").mkdir(parents=True)
    (app / "config" / "config_fed_client.json").write_text('{"format_version": 2, "executors": []}')
    workflow = '{"path": "fedvoxel.flare.controller.FedAvgController"}'
    (app / "config" / "config_fed_server.json").write_text(f'{{"workflows": [{workflow}]}}')
    certificate = folder / "lead.crt"
    certificate.write_bytes(written(authority.folder, authority.issue(LEAD, KEY.public_key(), days)))
    sign_folders(str(app), KEY, str(certificate))
    return app


def revoke(authority: Authority) -> None:
    authority.revoke(authority.register.find(LEAD.name, datetime.now(UTC)), "left", 90)


def signer(app: Path, authority: Authority, after: timedelta = timedelta()) -> str:
    """Returns who has signed, by the root and the lists of the authority."""
    found = signer_of(app, authority.folder / "rootCA.pem", kept_lists(authority.list_file), datetime.now(UTC) + after)
    return found.name if found else ""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return quick_authority(tmp_path / "ca")


def test_a_persons_signature_counts_and_one_that_is_revoked_does_not(authority: Authority, tmp_path: Path) -> None:
    app = signed_app(tmp_path, authority)
    assert signer(app, authority) == LEAD.name
    revoke(authority)
    with pytest.raises(JobError, match=r"with which lead@a\.example signed the job is revoked"):
        signer(app, authority)
    # With a new certificate the same person's counts again.
    assert signer(signed_app(tmp_path / "again", authority), authority) == LEAD.name


def test_of_a_certificate_that_has_ended_it_is_said(authority: Authority, tmp_path: Path) -> None:
    app = signed_app(tmp_path, authority, days=5)
    assert signer(app, authority, timedelta(days=4)) == LEAD.name
    with pytest.raises(JobError, match=r"lead@a\.example signed the job ended on \d{4}-\d\d-\d\d"):
        signer(app, authority, timedelta(days=6))


def test_a_certificate_whose_subject_cannot_be_read_signs_nothing(authority: Authority, tmp_path: Path) -> None:
    """The root itself has issued it."""
    app, (root,) = signed_app(tmp_path, authority), authority.roots
    written_there = app / NVFLARE_SUBMITTER_CRT_FILE
    der = x509.load_pem_x509_certificate(written_there.read_bytes()).public_bytes(Encoding.DER)
    said = said_in(der).replace(b"lead@a", b"lead@\xff")
    written_there.write_bytes(pem("CERTIFICATE", signed_anew(der, said, signs(root.key))))
    with pytest.raises(JobError, match="not one person's of this content"):
        signer(app, authority)


def test_of_a_root_that_was_dropped_it_is_said(authority: Authority, tmp_path: Path) -> None:
    app = signed_app(tmp_path, authority)
    both = begin_rotation(authority, authority.folder, PASSPHRASE, 3650, 90)
    assert signer(app, both) == LEAD.name
    both.issue(LEAD, KEY.public_key(), 90)
    one = finish_rotation(both, both.folder, PASSPHRASE, 90)
    with pytest.raises(JobError, match="a root that is not trusted, or not any more"):
        signer(app, one)


def test_a_newer_root_is_asked_about_its_own_certificates(authority: Authority, tmp_path: Path) -> None:
    before = kept_lists(authority.list_file)
    both = begin_rotation(authority, authority.folder, PASSPHRASE, 3650, 90)
    app = signed_app(tmp_path, both)
    assert signer(app, both) == LEAD.name
    with pytest.raises(ConsortiumError, match="says nothing of the root"):
        signer_of(app, both.folder / "rootCA.pem", before, datetime.now(UTC))
    revoke(both)
    with pytest.raises(JobError, match="is revoked"):
        signer(app, both)


def _content(app: Path) -> None:
    (app / "config" / "config_fed_client.json").write_text("{}")


def _second_signer(app: Path) -> None:
    (app / "config" / NVFLARE_SUBMITTER_CRT_FILE).unlink()


def _no_certificate(app: Path) -> None:
    (app / NVFLARE_SUBMITTER_CRT_FILE).write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


@pytest.mark.parametrize("spoil", [_content, _second_signer, _no_certificate])
def test_a_signature_of_something_else_is_none(
    spoil: Callable[[Path], None], authority: Authority, tmp_path: Path
) -> None:
    app = signed_app(tmp_path, authority)
    spoil(app)
    with pytest.raises(JobError, match="not one person's of this content"):
        signer(app, authority)


def test_without_a_list_nobody_is_known_to_be_revoked_and_a_list_that_has_ended_is_not_relied_on(
    authority: Authority, tmp_path: Path
) -> None:
    app = signed_app(tmp_path, authority, days=300)
    revoke(authority)
    assert signer_of(app, authority.folder / "rootCA.pem", (), datetime.now(UTC)) is not None
    with pytest.raises(ConsortiumError, match="not now; ask the operator for the newest"):
        signer(app, authority, timedelta(days=91))


def test_a_folder_deeper_down_that_a_revoked_person_has_signed_is_noticed(authority: Authority, tmp_path: Path) -> None:
    app, other = signed_app(tmp_path, authority), tmp_path / "other"
    revoke(authority)
    again = signed_app(other, authority)
    assert signer(again, authority) == LEAD.name
    for name in (NVFLARE_SIG_FILE, NVFLARE_SUBMITTER_CRT_FILE):
        (again / "config" / name).write_bytes((app / "config" / name).read_bytes())
    with pytest.raises(JobError, match="is revoked"):
        signer(again, authority)


def test_nobodys_job_is_nobodys(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    assert signer(tmp_path / "app", authority) == ""
