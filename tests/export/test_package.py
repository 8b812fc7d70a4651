"""A package opens only if all of it is what a person or a site of the consortium signed."""

import hashlib
import io
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import PackageError
from fedvoxel.export.archive import archive_bytes
from fedvoxel.export.manifest import MANIFEST, MOST_MEMBERS, SIGNATURE, read_manifest
from fedvoxel.export.package import PURPOSE, Package, open_package, write_package
from fedvoxel.export.signature import sign
from fedvoxel.records.canonical import canonical_json
from tests.export.package_sample import (
    bright_onnx,
    sample_description,
    sample_package,
    sample_root,
    sample_signer,
    sample_trust,
)
from tests.export.throwaway_root import NOW, Root

Members = dict[str, bytes]


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return sample_package(tmp_path, members={"bundle/docs/README.md": b"read me", "calibration.json": b'{"t": 1.5}'})


def members_of(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path: Path, change: Callable[[Members], None]) -> Path:
    """Changes the members of a package without signing it anew."""
    members = members_of(path)
    change(members)
    path.write_bytes(archive_bytes(members))
    return path


def signed_anew(path: Path, **changes: Any) -> Path:
    """Changes a package's manifest, and signs that."""

    def change(members: Members) -> None:
        content = canonical_json(json.loads(members[MANIFEST]) | changes)
        signature = sign(sample_signer(), PURPOSE, content, NOW)
        members[MANIFEST] = content
        members[SIGNATURE] = canonical_json(signature.model_dump(mode="json"))

    return rewrite(path, change)


def refused(path: Path, words: str) -> str:
    with pytest.raises(PackageError, match=words) as caught:
        open_package(path, sample_trust(), NOW)
    assert "\n" not in str(caught.value) and str(path.parent) not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------ what is right


def test_a_package_says_who_signed_it_when_and_what_it_holds(package: Package) -> None:
    opened = open_package(package.path, sample_trust(), NOW + timedelta(days=2000))
    assert opened == package
    assert package.path.name == "hippocampus-1.0.0.fvpkg"
    assert str(package.signed_by) == "lead@consortium.example (lead)" and package.signed_at == NOW
    assert package.description.title == "Hippocampus" and package.calibration == {"t": 1.5}
    assert package.member("model.onnx") == bright_onnx(3)
    assert "bundle/docs/README.md" in package.names
    with pytest.raises(FrozenInstanceError):
        package.sha256 = "0" * 64  # type: ignore[misc]


def test_the_identity_is_the_manifests_hash_and_does_not_depend_on_who_signs(tmp_path: Path) -> None:
    one, other = (
        sample_package(tmp_path / "a"),
        sample_package(tmp_path / "b", identity=sample_root().issue("site-1", None)),
    )
    assert one.sha256 == other.sha256
    assert one.sha256 != sample_package(tmp_path / "c", title="Other").sha256
    assert str(other.signed_by) == "site-1 (site)" and one.calibration is None


def test_opening_needs_neither_torch_nor_flare(package: Package) -> None:
    code = (
        "import sys\n"
        "import fedvoxel.export.package, fedvoxel.export.trust, fedvoxel.export.description\n"
        "print([name for name in ('torch', 'monai', 'nvflare', 'onnx') if name in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


# ------------------------------------------------------------------ what was changed


def test_a_changed_member_is_refused(package: Package) -> None:
    def change(members: Members) -> None:
        content = members["model.onnx"]
        members["model.onnx"] = content[:-1] + bytes([content[-1] ^ 1])

    refused(rewrite(package.path, change), "model.onnx is not what was signed")


def test_a_member_that_changes_after_opening_is_not_handed_out(package: Package) -> None:
    def change(members: Members) -> None:
        members["bundle/docs/README.md"] = b"read us"

    rewrite(package.path, change)
    with pytest.raises(PackageError, match="is not what was signed"):
        package.member("bundle/docs/README.md")
    with pytest.raises(PackageError, match=r"has no bundle/configs/train.json"):
        package.member("bundle/configs/train.json")


@pytest.mark.parametrize("name", ["docs/extra.md", "bundle/x.py", "../evil", "/etc/evil", "model.pkl"])
def test_an_extra_member_is_refused(package: Package, name: str) -> None:
    refused(rewrite(package.path, lambda members: members.update({name: b"x"})), "files that were not signed")


@pytest.mark.parametrize("name", ["docs/model_card.md", "model.onnx"])
def test_a_missing_member_is_refused(package: Package, name: str) -> None:
    refused(rewrite(package.path, lambda members: members.__delitem__(name)), f"lacks 1 .* first {name}")


@pytest.mark.parametrize("name", [MANIFEST, SIGNATURE])
def test_without_manifest_or_signature_there_is_no_package(package: Package, name: str) -> None:
    refused(rewrite(package.path, lambda members: members.__delitem__(name)), f"no '{name}'")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused(package: Package) -> None:
    with zipfile.ZipFile(package.path, "a") as archive:
        archive.writestr("model.onnx", b"another")
    refused(package.path, "'model.onnx' more than once")


def test_a_changed_manifest_is_refused(package: Package) -> None:
    def change(members: Members) -> None:
        members[MANIFEST] = members[MANIFEST].replace(b'"version":"1.0.0"', b'"version":"1.0.1"')

    refused(rewrite(package.path, change), "not lead@consortium.example's of this content")


def test_another_spelling_of_the_manifest_is_refused(package: Package) -> None:
    def change(members: Members) -> None:
        members[MANIFEST] += b"\n"

    refused(rewrite(package.path, change), "spelling")


def test_a_signature_that_was_made_for_something_else_is_refused(package: Package) -> None:
    def change(members: Members) -> None:
        signature = sign(sample_signer(), "release", members[MANIFEST], NOW)
        members[SIGNATURE] = canonical_json(signature.model_dump(mode="json"))

    refused(rewrite(package.path, change), "not lead@consortium.example's of this content")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"signature": "ab" * 64}, "not lead@consortium.example's of this content"),
        ({"signed_at": "2026-03-02T09:30:01Z"}, "not lead@consortium.example's of this content"),
        ({"signed_at": "2026-02-31T09:30:01Z"}, "signed_at|top level"),
        ({"algorithm": "rsa-pss-sha256"}, "key is not for that"),
        ({"algorithm": "none"}, "algorithm"),
        ({"certificate": "no certificate"}, "no certificate that can be read"),
        ({"schema_version": 2}, "version 2.*update fedvoxel"),
        ({"also": 1}, "also"),
    ],
)
def test_a_signature_that_is_not_right_is_refused(package: Package, changes: dict[str, Any], words: str) -> None:
    def change(members: Members) -> None:
        members[SIGNATURE] = canonical_json(json.loads(members[SIGNATURE]) | changes)

    refused(rewrite(package.path, change), words)


# ------------------------------------------------------------------ what was signed, but may not be


def test_a_package_of_a_newer_version_is_refused(package: Package) -> None:
    refused(signed_anew(package.path, schema_version=2), "version 2.*update fedvoxel")


@pytest.mark.parametrize("version", ["1", True, None, 0])
def test_a_version_that_is_none_is_refused(package: Package, version: Any) -> None:
    refused(signed_anew(package.path, schema_version=version), "does not say of which version")


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "bundle/../evil",
        "bundle//evil",
        "run.py",
        "docs/.hidden",
        "bundle\\evil",
        "C:evil",
        "bundle/",
    ],
)
def test_a_member_that_packages_do_not_have_is_refused(package: Package, name: str) -> None:
    members = json.loads(members_of(package.path)[MANIFEST])["members"]
    refused(signed_anew(package.path, members=members | {name: members["model.json"]}), "members")
    with pytest.raises(PackageError, match="members"):
        sample_package(package.path.parent, members={name: b"x"})


def test_members_that_differ_in_case_only_are_refused(package: Package) -> None:
    with pytest.raises(PackageError, match="upper and lower case"):
        sample_package(package.path.parent, members={"docs/A.md": b"x", "docs/a.md": b"x"})


def test_a_description_of_another_model_is_refused(package: Package) -> None:
    refused(signed_anew(package.path, version="2.0.0"), "of another model or version")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [(b'"title":', b'"also":1,"title":', "also"), (b'"schema_version":1', b'"schema_version":2', "version 2")],
)
def test_a_signed_description_that_this_version_does_not_know_is_refused(
    package: Package, old: bytes, new: bytes, words: str
) -> None:
    members = members_of(package.path)
    content = members["model.json"].replace(old, new)
    known = read_manifest(members[MANIFEST]).model_dump(mode="json")["members"]
    known["model.json"] = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    rewrite(package.path, lambda members: members.update({"model.json": content}))
    refused(signed_anew(package.path, members=known), words)


# ------------------------------------------------------------------ what is no package


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 100, b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.fvpkg"
    path.write_bytes(content)
    refused(path, "not a package|no 'manifest.json'")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "a.fvpkg", "cannot be read")
    refused(tmp_path, "cannot be read")


def test_a_file_that_was_cut_or_lengthened_is_refused(package: Package) -> None:
    content = package.path.read_bytes()
    for changed in (content[:-1], content[: len(content) // 2], content + b"\0"):
        package.path.write_bytes(changed)
        refused(package.path, "not a package")


def test_an_encrypted_or_strangely_packed_member_is_refused(package: Package) -> None:
    content = package.path.read_bytes()
    for offset, value in ((8, 1), (10, zipfile.ZIP_BZIP2)):
        changed = bytearray(content)
        at = content.index(b"PK\x01\x02")
        changed[at + offset] = value
        package.path.write_bytes(changed)
        refused(package.path, "encrypted or packed")


# ------------------------------------------------------------------ sizes


def deflated(members: Members) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_a_deflated_package_opens_too(package: Package) -> None:
    package.path.write_bytes(deflated(members_of(package.path)))
    assert open_package(package.path, sample_trust(), NOW) == package


@pytest.mark.parametrize("name", [MANIFEST, SIGNATURE, "model.onnx"])
def test_a_member_that_unpacks_to_more_than_was_signed_is_refused(package: Package, name: str) -> None:
    members = members_of(package.path)
    members[name] = members[name] + b" " * 20_000_000
    package.path.write_bytes(deflated(members))
    assert package.path.stat().st_size < 100_000
    refused(package.path, "bytes, more than|bytes where")


def test_a_member_that_unpacks_to_more_than_its_directory_says_is_refused(package: Package) -> None:
    """The directory says the size that was signed; the data behind it goes on."""
    members = members_of(package.path)
    size, long = len(members["model.onnx"]), members["model.onnx"] + b"\0" * 20_000_000
    content = bytearray(deflated(members | {"model.onnx": long}))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = -1
        while (at := content.find(mark, at + 1)) >= 0:
            if content[at + offset : at + offset + 4] == struct.pack("<L", len(long)):
                content[at + offset : at + offset + 4] = struct.pack("<L", size)
    package.path.write_bytes(content)
    refused(package.path, "damaged|expected|not what was signed")


def test_too_many_members_are_refused_before_they_are_listed(package: Package) -> None:
    members = members_of(package.path) | {f"docs/{index}": b"" for index in range(MOST_MEMBERS)}
    package.path.write_bytes(archive_bytes(members))
    refused(package.path, "at most")


def test_a_directory_of_absurd_length_is_refused(package: Package) -> None:
    content = bytearray(package.path.read_bytes())
    content[-10:-6] = struct.pack("<L", 2**31)
    package.path.write_bytes(content)
    refused(package.path, "at most")


def test_a_text_of_absurd_length_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sample_package(tmp_path).path
    monkeypatch.setattr("fedvoxel.export.package.LARGEST_TEXT_BYTES", 100)
    refused(path, "at most 100 are read")


def test_a_file_of_absurd_length_is_refused(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedvoxel.export.package.LARGEST_PACKAGE_BYTES", 100)
    refused(package.path, "is no package")


# ------------------------------------------------------------------ writing


def test_who_could_not_be_believed_cannot_write_a_package(tmp_path: Path) -> None:
    for identity in (
        sample_root().itself(),
        sample_root().issue("server.example", None),
        Root().issue(ends=NOW - timedelta(days=1)),
    ):
        with pytest.raises(PackageError):
            sample_package(tmp_path, identity=identity)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PackageError, match=r"hippocampus-1\.0\.0\.fvpkg cannot be written"):
        sample_package(tmp_path / "file" / "out")


def test_a_package_needs_its_network(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"no model\.onnx"):
        write_package(tmp_path, sample_description(), {}, sample_signer(), NOW)
