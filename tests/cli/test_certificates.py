"""`fedvoxel consortium` and `fedvoxel site`: certificates from the command line, for people and for scripts."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from fedvoxel.cli.main import main
from fedvoxel.governance.authority_store import PASSPHRASE_VARIABLE, open_authority, read_roots
from fedvoxel.governance.certificate_request import certificate_fingerprint
from fedvoxel.governance.holder import Holder
from fedvoxel.records.revocation import number_of
from tests.consortium_kits import PASSPHRASE, consortium_file
from tests.governance.quick_authority import quick_authority

Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An operator's folder with an authority and a consortium file."""
    consortium_file(tmp_path)
    quick_authority(tmp_path / "w" / "authority")
    return tmp_path / "w"


def said(capsys: Out, *words: object, code: int = 0) -> Any:
    """Gives a command with --json and returns what it said."""
    assert main([*map(str, words), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def issue_for_site(workspace: Path, capsys: Out) -> str:
    """Has hospital-a ask, enters a certificate for it without a kit, and returns the serial number."""
    from fedvoxel.governance.certificate_request import read_request, requested_by
    from fedvoxel.governance.consortium_file import load_consortium_file
    from fedvoxel.governance.holder import holders_of
    from fedvoxel.records.revocation import serial_text

    asked = said(capsys, "site", "request", "hospital-a", "--org", "hospital_a", "--folder", workspace)
    holders = holders_of(load_consortium_file(workspace.parent / "consortium.yml"))
    holder, key = requested_by(read_request(Path(asked["request"])), holders)
    authority = open_authority(workspace / "authority", workspace / "authority", PASSPHRASE)
    return serial_text(authority.issue(holder, key, 20).serial_number)


def test_init_makes_an_authority_on_a_stick_and_never_a_second_one(tmp_path: Path, capsys: Out) -> None:
    words = ["consortium", "init", consortium_file(tmp_path), "-w", tmp_path / "w", "--ca", tmp_path / "stick"]
    made = said(capsys, *words)
    assert made["fingerprint"].startswith("SHA256:") and len(made["fingerprint"]) == 7 + 95
    assert (tmp_path / "stick" / "rootCA.key").read_bytes().startswith(b"-----BEGIN ENCRYPTED")
    assert not list((tmp_path / "w").rglob("*.key"))
    assert main([*map(str, words)]) == 8
    assert "already" in capsys.readouterr().err


def test_the_passphrase_comes_from_a_file_or_the_environment_and_from_nowhere_else(
    workspace: Path, tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["consortium", "renew", str(tmp_path / "consortium.yml"), "-w", str(workspace)]
    assert main(words) == 0
    monkeypatch.delenv(PASSPHRASE_VARIABLE)
    assert main(words) == 8
    assert f"set {PASSPHRASE_VARIABLE}" in capsys.readouterr().err
    (tmp_path / "secret").write_text(f"{PASSPHRASE}\nnot this\n")
    assert main([*words, "--passphrase-file", str(tmp_path / "secret")]) == 0
    (tmp_path / "secret").write_text("another passphrase\n")
    assert main([*words, "--passphrase-file", str(tmp_path / "secret")]) == 8
    assert "does not open" in capsys.readouterr().err
    assert main([*words, "--passphrase", PASSPHRASE]) == 2, "a command line can be read by others"


def test_list_revoke_and_leaver_say_the_same(workspace: Path, capsys: Out) -> None:
    serial = issue_for_site(workspace, capsys)
    (row,) = said(capsys, "consortium", "list", "-w", workspace)["certificates"]
    assert (row["name"], row["serial"], row["state"], row["kind"]) == ("hospital-a", serial, "expires soon", "site")
    steps = said(capsys, "consortium", "leaver", "hospital-a", "-w", workspace)["checklist"]
    assert steps[0]["done"] is False
    words = ["consortium", "revoke", "hospital-a", "-w", workspace, "--reason", "left"]
    assert main(list(map(str, words))) == 8
    assert "--yes" in capsys.readouterr().err, "nobody was asked"
    revoked = said(capsys, *words, "--yes", "--since", "2026-03-01")
    assert [one["serial"] for one in revoked["revoked"]] == [serial] and revoked["checklist"][0]["done"] is True
    crl = x509.load_pem_x509_crl((workspace / "authority" / "crl.pem").read_bytes())
    assert crl.get_revoked_certificate_by_serial_number(int(serial, 16)) is not None
    (row,) = said(capsys, "consortium", "list", "-w", workspace)["certificates"]
    assert (row["state"], row["revoked"]["reason"]) == ("revoked", "left")
    assert main(["consortium", "list", "-w", str(workspace)]) == 0
    assert "revoked" in capsys.readouterr().out


def test_a_revocation_said_again_signs_the_list_again(workspace: Path, capsys: Out) -> None:
    serial = issue_for_site(workspace, capsys)
    words = ["consortium", "revoke", "hospital-a", "-w", workspace, "--reason", "left", "--yes"]
    crl = workspace / "authority" / "crl.pem"
    before = crl.read_bytes()
    said(capsys, *words)
    crl.write_bytes(before)  # as it is where the disk was full
    for who in ("hospital-a", serial):
        assert main([*map(str, words[:2]), who, *map(str, words[3:])]) == 0
        assert "revoked already" in capsys.readouterr().err
        lists = x509.load_pem_x509_crl(crl.read_bytes())
        assert lists.get_revoked_certificate_by_serial_number(int(serial, 16)) is not None
        crl.write_bytes(before)


def test_with_a_stolen_key_everything_of_that_key_is_shown_and_revoked(workspace: Path, capsys: Out) -> None:
    serial = issue_for_site(workspace, capsys)
    (renewed,) = said(capsys, "consortium", "renew", workspace.parent / "consortium.yml", "-w", workspace)["renewed"]
    words = ["consortium", "revoke", renewed["serial"], "-w", workspace, "--reason", "key-compromise"]
    assert main(list(map(str, words))) == 8
    shown = capsys.readouterr().err
    assert serial in shown and renewed["serial"] in shown, "before anybody confirms"
    assert [one["serial"] for one in said(capsys, *words, "--yes")["revoked"]] == [serial, renewed["serial"]]


def test_an_unknown_reason_revokes_nothing(workspace: Path, capsys: Out) -> None:
    issue_for_site(workspace, capsys)
    before = (workspace / "authority" / "crl.pem").read_bytes()
    assert main(["consortium", "revoke", "hospital-a", "-w", str(workspace), "--reason", "boredom", "--yes"]) == 8
    assert "expected one of left" in capsys.readouterr().err
    assert (workspace / "authority" / "crl.pem").read_bytes() == before


def test_renew_takes_what_ends_soon(workspace: Path, capsys: Out) -> None:
    serial = issue_for_site(workspace, capsys)
    words = ["consortium", "renew", workspace.parent / "consortium.yml", "-w", workspace]
    (renewed,) = said(capsys, *words)["renewed"]
    assert renewed["name"] == "hospital-a" and renewed["serial"] != serial
    assert Path(renewed["file"]) == workspace / "renewed" / "hospital-a.crt"
    assert said(capsys, *words)["renewed"] == []
    assert main([*map(str, words), "hospital-z"]) == 8
    assert "nobody of the name hospital-z" in capsys.readouterr().err


def test_who_cannot_be_renewed_keeps_nobody_else_back(workspace: Path, capsys: Out) -> None:
    issue_for_site(workspace, capsys)
    authority = open_authority(workspace / "authority", workspace / "authority", PASSPHRASE)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    authority.issue(Holder("hospital-b", "hospital_b", "site"), key, 20)
    project = workspace.parent / "consortium.yml"
    project.write_text(project.read_text().replace("org: hospital_a}", "org: hospital_z}"))
    words = ["consortium", "renew", project, "-w", workspace]
    number = number_of(x509.load_pem_x509_crl(authority.list_file.read_bytes()))
    done = said(capsys, *words, code=8)
    assert [one["name"] for one in done["renewed"]] == ["hospital-b"]
    assert len(done["not_renewed"]) == 1 and "hospital-a has another role or organisation" in done["not_renewed"][0]
    assert number_of(x509.load_pem_x509_crl(authority.list_file.read_bytes())) == number + 1
    assert main(list(map(str, words))) == 8
    shown = capsys.readouterr()
    assert "hospital-a has another role" in shown.err and "Nothing expires" not in shown.out


def test_a_name_that_the_file_does_not_have_is_answered_nothing(workspace: Path, capsys: Out) -> None:
    asked = said(capsys, "site", "request", "hospital-z", "--org", "hospital_z", "--folder", workspace)
    words = ["consortium", "issue", workspace.parent / "consortium.yml", asked["request"], "-w", workspace, "--yes"]
    assert main(list(map(str, words))) == 8
    assert "nobody of the name 'hospital-z'" in capsys.readouterr().err
    assert said(capsys, "consortium", "list", "-w", workspace)["certificates"] == []
    assert not (workspace / "answers").exists()


def test_the_root_is_changed_in_two_steps(workspace: Path, capsys: Out) -> None:
    issue_for_site(workspace, capsys)
    project = workspace.parent / "consortium.yml"
    old = certificate_fingerprint(read_roots(workspace / "authority")[0])
    begun = said(capsys, "consortium", "rotate-ca", project, "-w", workspace)
    assert (begun["roots"], begun["to_renew"]) == (2, ["hospital-a"])
    assert main(["consortium", "rotate-ca", str(project), "-w", str(workspace), "--finish"]) == 8
    assert "would be cut off" in capsys.readouterr().err
    said(capsys, "consortium", "renew", project, "-w", workspace)
    ended = said(capsys, "consortium", "rotate-ca", project, "-w", workspace, "--finish")
    assert (ended["roots"], ended["to_renew"], ended["fingerprint"]) == (1, [], begun["fingerprint"])
    assert begun["fingerprint_to_tell"] == old and ended["fingerprint_to_tell"] == ended["fingerprint"] != old


def test_a_fingerprint_is_shown_as_it_is(workspace: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = "SHA256:AB:01:CD:02"
    monkeypatch.setattr("fedvoxel.governance.certificate_request._pairs", lambda digits: shown)
    asked = ["site", "request", "hospital-a", "--org", "hospital_a", "--folder", str(workspace)]
    assert main(asked) == 0
    assert shown in capsys.readouterr().out, "rich makes an emoji of :AB: and of :CD:"
    request = str(workspace / "hospital-a.csr")
    assert main(["consortium", "issue", str(workspace.parent / "consortium.yml"), request, "-w", str(workspace)]) != 0
    assert shown in capsys.readouterr().err
