"""Packages and their ZIP, signatures, revocation lists, and the index of releases."""

import hashlib
import io
import json
import zipfile
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import strategies as st

from fedvoxel.export.archive import open_archive
from fedvoxel.export.manifest import LARGEST_PACKAGE_BYTES, MANIFEST, MOST_MEMBERS, SIGNATURE, read_manifest
from fedvoxel.export.package import PURPOSE, open_package
from fedvoxel.export.publishing import Publisher
from fedvoxel.export.releases import INDEX, Releases
from fedvoxel.export.signature import read_signature, sign, verify
from fedvoxel.export.trust import read_trust
from fedvoxel.export.unpacking import unpack_package
from fedvoxel.records.chain_entry import HEAD_FILE
from tests.export.package_sample import sample_package, sample_root, sample_signer, sample_trust
from tests.export.throwaway_root import NOW
from tests.fuzz.chains import rechained
from tests.fuzz.mutation import mutated_bytes, mutated_text, mutated_value, plain
from tests.fuzz.spoiled import Spoiled, files_of, lay_out, spoiled
from tests.fuzz.target import Target, UnwantedError


@cache
def package_bytes() -> bytes:
    """A signed package."""
    return sample_package(Path(mkdtemp(prefix="fedvoxel_fuzz_"))).path.read_bytes()


def _members() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(package_bytes())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


_NAMES = (
    *("../escaped", "/escaped", "docs/../../escaped", "docs/a\\..\\b", "docs/", "", "docs/\x00", "C:/x", "MODEL.ONNX"),
    *("docs/" + "d/" * 40 + "x", "manifest.json", "model.json", "docs/\ud800".encode("utf-8", "replace").decode()),
)


@st.composite
def _packages(draw: st.DrawFn) -> bytes:
    """A package whose members were edited and whose manifest was signed again, so that more than the hash is tried."""
    members = _members()
    manifest = json.loads(members[MANIFEST])
    kind = draw(
        st.sampled_from(("manifest", "description", "signature", "extra", "bomb", "twice", "link", "attributes"))
    )
    if kind == "manifest":
        manifest = draw(mutated_value((manifest,)))
    elif kind == "description":
        members["model.json"] = draw(mutated_text((json.loads(members["model.json"]),)))
        known = {"sha256": hashlib.sha256(members["model.json"]).hexdigest(), "size_bytes": len(members["model.json"])}
        manifest["members"]["model.json"] = known
    content = _canonical(manifest)
    signature = sign(sample_signer(), PURPOSE, content, NOW).model_dump(mode="json")
    members[MANIFEST] = content
    members[SIGNATURE] = json.dumps(signature, separators=(",", ":")).encode()
    if kind == "signature":
        members[SIGNATURE] = draw(mutated_text((signature,)))
    return _zipped(draw, members, kind)


def _zipped(draw: st.DrawFn, members: dict[str, bytes], kind: str) -> bytes:
    stream = io.BytesIO()
    method = draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        info = zipfile.ZipInfo(draw(st.sampled_from(_NAMES)))
        if kind == "extra":
            archive.writestr(info, b"x")
        elif kind == "bomb":
            archive.writestr("docs/bomb.md", bytes(20_000_000), zipfile.ZIP_DEFLATED)
        elif kind == "link":
            info.external_attr = 0o120777 << 16
            archive.writestr(info, b"/etc/passwd")
        elif kind == "attributes":
            info.external_attr, info.flag_bits = 0xFFFFFFFF, 0x1
            archive.writestr(info, b"x")
    content = stream.getvalue()
    return draw(mutated_bytes((content,))) if draw(st.booleans()) else content


def _canonical(manifest: Any) -> bytes:
    try:
        return json.dumps(plain(manifest), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, TypeError):
        return b"{}"


def _open(content: bytes, folder: Path) -> None:
    path = folder / "sample.fvpkg"
    path.write_bytes(content)
    package = open_package(path, sample_trust(), NOW)
    unpack_package(package, folder / "unpacked")


def _archive(content: bytes, folder: Path) -> None:
    path = folder / "sample.fvpkg"
    path.write_bytes(content)
    with open_archive(path, MOST_MEMBERS, LARGEST_PACKAGE_BYTES) as archive:
        for name in sorted(archive.names):
            archive.read(name, 2**20)


# ------------------------------------------------------------------ signatures and lists


def _signature() -> dict[str, Any]:
    found: dict[str, Any] = sign(sample_signer(), PURPOSE, b"content", NOW).model_dump(mode="json")
    return found


def _verify(content: bytes, folder: Path) -> None:
    signature = read_signature(content, "the signature")
    verify(signature, PURPOSE, b"content", sample_trust(), NOW)
    if json.loads(content)["signature"] != signature.signature:
        raise UnwantedError("another signature than the one that was read")


def _lists() -> tuple[bytes, ...]:
    found = sample_root().revocations({7: NOW})
    return found.public_bytes(Encoding.PEM), found.public_bytes(Encoding.DER)


_ROOT = sample_root().certificate.public_bytes(Encoding.PEM)


def _revoked(content: bytes, folder: Path) -> None:
    (folder / "root.pem").write_bytes(_ROOT)
    (folder / "list").write_bytes(content)
    trust = read_trust(folder / "root.pem", folder / "list")
    verify(read_signature(json.dumps(_SIGNATURE).encode(), "it"), PURPOSE, b"content", trust, NOW)


_SIGNATURE = _signature()
_DOCUMENT = json.dumps(_SIGNATURE).encode()


def _manifest(content: bytes, folder: Path) -> None:
    read_manifest(content)


# ------------------------------------------------------------------ the index of releases


@cache
def index() -> Path:
    """An index with one released package."""
    folder = Path(mkdtemp(prefix="fedvoxel_fuzz_"))
    package = sample_package(folder)
    lead = Publisher(folder / "index", sample_signer(), sample_trust(), folder / "seen.json")
    lead.publish(package.path, "released", "made up", NOW)
    return folder / "index"


@st.composite
def _indexes(draw: st.DrawFn) -> Spoiled | bytes:
    files = files_of(index())
    if draw(st.booleans()):
        return draw(spoiled(files, (INDEX, HEAD_FILE)))
    bodies = [json.loads(line)["body"] for line in files[INDEX].splitlines()]
    return rechained(draw(mutated_value((bodies,))))


def _releases(change: Spoiled | bytes, folder: Path) -> None:
    if isinstance(change, bytes):
        copied = lay_out(index(), (INDEX, change), folder)
        (copied / HEAD_FILE).write_bytes((change.splitlines() or [b""])[-1] + b"\n")
    else:
        copied = lay_out(index(), change, folder)
    found = Releases(copied, sample_trust(), folder / "seen.json", NOW)
    [found.admit(one.sha256, one.name) for one in found.all]


TARGETS = (
    Target("package", "packages", st.one_of(_packages(), mutated_bytes((package_bytes(),))), _open),
    Target("archive", "packages", mutated_bytes((package_bytes(),)), _archive, bytes_origins=(package_bytes(),)),
    Target("manifest", "packages", mutated_text((json.loads(_members()[MANIFEST]),)), _manifest),
    Target("signature", "packages", mutated_text((_SIGNATURE,)), _verify, bytes_origins=(_DOCUMENT,)),
    Target("revocation_list", "packages", mutated_bytes(_lists()), _revoked),
    Target("index_of_releases", "packages", st.deferred(_indexes), _releases),
)
