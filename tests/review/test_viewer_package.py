"""The 3-D viewer is installed from its package, or nothing is."""

import io
import tarfile
from pathlib import Path

import pytest

from fedvoxel.errors import DownloadError
from fedvoxel.review import viewer_package
from fedvoxel.review.viewer_package import install_viewer, installed_viewer


def tarball(path: Path, content: bytes = b"viewer") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in ("package/dist/niivue.umd.js", "package/package.json", "package/../../evil"):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_another_package_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="SHA-512 is another"):
        install_viewer(tarball(tmp_path / "a.tgz"), tmp_path / "viewer")
    assert installed_viewer(tmp_path / "viewer") is None


def test_only_the_script_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import base64
    import hashlib

    path = tarball(tmp_path / "a.tgz")
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    monkeypatch.setattr(viewer_package, "SHA512", digest)
    script = install_viewer(path, tmp_path / "deep" / "viewer")
    assert script.read_bytes() == b"viewer" and installed_viewer(tmp_path / "deep" / "viewer") == script
    assert sorted(one.name for one in (tmp_path / "deep" / "viewer").iterdir()) == ["niivue.umd.js", "package.json"]
    assert not (tmp_path / "evil").exists() and not (tmp_path / "deep" / "evil").exists()


@pytest.mark.parametrize(
    ("registry", "text"), [("http://127.0.0.1:9/", "https address"), ("https://127.0.0.1:9/", "--tarball")]
)
def test_a_registry_that_cannot_be_used_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: str, text: str
) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry)
    with pytest.raises(DownloadError, match=text):
        install_viewer(folder=tmp_path / "viewer")
