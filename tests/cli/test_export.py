"""`fedvoxel export` as a person and as a script call it: from a job's result to a package that is checked."""

import json
import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from fedvoxel.cli.main import main
from fedvoxel.export.archive import archive_bytes
from fedvoxel.export.package import Package, write_package
from fedvoxel.records.identity import Identity
from tests.evaluation.inference.command import crl_file
from tests.export.exported_job import description_file, exported, told_job
from tests.export.package_sample import bright_onnx, sample_package, sample_root, sample_signer
from tests.export.throwaway_root import NOW, Root
from tests.finished_job import JOB_ID, blob_task
from tests.training.conftest import write_blobs, write_site

PEM = serialization.Encoding.PEM


def kit_of(folder: Path, identity: Identity) -> Path:
    """A kit with what signing needs."""
    startup = folder / identity.name / "startup"
    startup.mkdir(parents=True)
    (startup / "client.crt").write_text(identity.certificate)
    key = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (startup / "client.key").write_bytes(identity.key.private_bytes(PEM, *key))
    (startup / "rootCA.pem").write_bytes(identity.root.public_bytes(PEM))
    return startup.parent


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    return kit_of(tmp_path / "kits", sample_signer())


@pytest.fixture
def root(kit: Path) -> list[str]:
    return ["--root", str(kit)]


@pytest.fixture
def crl(tmp_path: Path) -> list[str]:
    path = tmp_path / "crl.pem"
    path.write_bytes(sample_root().revocations({}).public_bytes(PEM))
    return ["--crl", str(path)]


def test_a_job_becomes_a_package_that_opens_and_agrees(
    tmp_path: Path, kit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The certificate is of the test's own present, since the command signs now.
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    signer = sample_root().issue("now@consortium.example", begins=now - timedelta(1), ends=now + timedelta(1))
    own = kit_of(tmp_path, signer)
    job = told_job(tmp_path)
    words = ["export", str(job), "--describe", str(description_file(tmp_path)), "--sign", str(own)]
    assert main([*words, "--out", str(tmp_path / "out"), "--audit-head", "3e" * 32]) == 0
    shown = capsys.readouterr().out
    path = tmp_path / "out" / "hippocampus-1.0.0.fvpkg"
    assert "signed_by  now@consortium.example (lead)" in shown and "windows of any size" in shown
    assert f"Next: fedvoxel export check {path}" in shown.replace("\n", "")
    assert main(["export", "check", str(path), "--root", str(kit)]) == 0
    assert "Only a made-up image was used" in capsys.readouterr().out


def test_it_is_found_without_the_word_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("job", "check", "show", "unpack"))
    assert main(["export", "nowhere", "--describe", "x", "--sign", "y"]) == 10
    assert "nowhere is not a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words", "code"),
    [
        (["--model", "personal"], "personal model never leaves", 3),
        (["--describe", "missing.json"], "missing.json", 3),
        (["--sign", "nowhere"], "client.crt", 8),
        (["--calibration", "missing.json"], "calibration or the licence cannot be read", 3),
        (["--model", "worst"], "worst", 2),
        (["--audit-head", "3e"], "64 hexadecimal digits", 3),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    tmp_path: Path, kit: Path, capsys: pytest.CaptureFixture[str], changes: list[str], words: str, code: int
) -> None:
    job, described = told_job(tmp_path), description_file(tmp_path)
    given = ["export", str(job), "--describe", str(described), "--sign", str(kit), "--out", str(tmp_path / "out")]
    assert main([*given, *changes]) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_fedbn_job_is_refused(tmp_path: Path, kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = told_job(tmp_path, blob_task(site_local=["*.bias"]))
    assert main(["export", str(job), "--describe", str(description_file(tmp_path)), "--sign", str(kit)]) == 3
    assert "site_local" in capsys.readouterr().err


# ------------------------------------------------------------------ check


def test_all_forms_agree_on_real_images(tmp_path: Path, root: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_blobs(tmp_path, 2)
    images = [word for index in (0, 1) for word in ("--data", str(tmp_path / f"image{index}.nii.gz"))]
    assert main(["export", "check", str(exported().path), *root, *images, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["real_images"] and found["package"] == exported().sha256
    assert [(one["case"], one["form"]) for one in found["results"]] == [
        (f"image {number}", form) for number in (1, 2) for form in ("torch.export", "ONNX")
    ]
    assert all(one["holds"] and one["argmax_agreement"] >= 0.9999 for one in found["results"])
    assert main(["export", "check", str(exported().path), *root, *images]) == 0
    assert "All forms agree on 2 cases" in capsys.readouterr().out


def test_a_sites_test_cases_are_images_too(tmp_path: Path, root: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    site = write_site(tmp_path)
    assert main(["export", "check", str(exported().path), *root, "--data", str(site), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["results"]) >= 2
    assert main(["export", "check", str(exported().path), *root, "--data", str(site), "--cohort", "other"]) == 5


def test_a_form_that_is_another_models_is_found(
    tmp_path: Path, root: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    package = exported()
    members = {name: package.member(name) for name in package.names if name != "model.json"}
    members["model.onnx"] = bright_onnx(2)
    wrong = write_package(tmp_path, package.description, members, sample_signer(), NOW)
    write_blobs(tmp_path, 1)
    words = ["--data", str(tmp_path / "image0.nii.gz")]
    assert main(["export", "check", str(wrong.path), *root, *words]) == 17
    printed = capsys.readouterr()
    assert "off" in printed.out and "1 of 2 comparisons are off, first ONNX" in printed.err


def test_a_package_without_weights_cannot_be_checked(
    tmp_path: Path, root: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "check", str(sample_package(tmp_path).path), *root]) == 17
    assert "has no provenance.json" in capsys.readouterr().err


def test_an_image_that_cannot_be_used_is_one_line(
    tmp_path: Path, root: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.nii").write_text("no image")
    assert main(["export", "check", str(exported().path), *root, "--data", str(tmp_path / "a.nii")]) == 4
    assert str(tmp_path) not in capsys.readouterr().err


# ------------------------------------------------------------------ show, unpack


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return sample_package(tmp_path)


def test_show_says_who_signed_what(package: Package, root: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "show", str(package.path), *root]) == 0
    shown = capsys.readouterr().out
    assert "lead@consortium.example (lead)" in shown and package.sha256 in shown and "model.onnx" in shown
    said = package.description
    assert said.intended_use in shown and said.limitations in shown and "calibrated  no" in shown
    assert "No revocation list was given" in shown
    assert main(["export", "show", str(package.path), *root, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["role"] == "lead"


def test_show_says_that_nobody_looked_only_where_nobody_did(
    package: Package, root: list[str], kit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crl_file(kit / "startup")
    assert main(["export", "show", str(package.path), *root]) == 0
    assert "No revocation list was given" not in capsys.readouterr().out


def test_the_root_may_come_from_the_environment(
    package: Package, kit: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "show", str(package.path)]) == 2
    monkeypatch.setenv("FEDVOXEL_ROOT", str(kit / "startup" / "rootCA.pem"))
    assert main(["export", "show", str(package.path)]) == 0


@pytest.mark.parametrize("command", ["show", "check", "unpack"])
def test_no_command_touches_what_is_not_to_be_trusted(
    package: Package, root: list[str], tmp_path: Path, crl: list[str], command: str
) -> None:
    words = ["export", command, str(package.path), *([str(tmp_path / "new")] if command == "unpack" else [])]
    other = kit_of(tmp_path / "other", Root().issue())
    assert main([*words, "--root", str(other)]) == 17
    assert main([*words, *root, *crl]) == 8, "a list that is out of date"
    assert main([*words, "--root", str(tmp_path / "missing")]) == 8
    package.path.write_bytes(archive_bytes({"model.onnx": b"x"}))
    assert main([*words, *root]) == 17
    assert not (tmp_path / "new").exists()


def test_unpack_writes_a_new_folder(package: Package, root: list[str], tmp_path: Path) -> None:
    assert main(["export", "unpack", str(package.path), str(tmp_path / "new"), *root]) == 0
    assert (tmp_path / "new" / "model.onnx").is_file()
    assert main(["export", "unpack", str(package.path), str(tmp_path / "new"), *root]) == 17
    shutil.rmtree(tmp_path / "new")


def test_the_job_folder_may_have_a_commands_name(
    tmp_path: Path, kit: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told_job(tmp_path)
    os.rename(tmp_path / JOB_ID, tmp_path / "show")
    monkeypatch.chdir(tmp_path)
    words = ["--describe", str(description_file(tmp_path, version="x")), "--sign", str(kit)]
    assert main(["export", "./show", *words]) == 3
    assert "version" in capsys.readouterr().err
