"""The OHIF viewer as its makers build it: one version, known by its hash, from the npm package. It is not kept here.

FEDVOXEL_OHIF may name the package as a file (`npm pack @ohif/app@3.13.2`), for a machine without a registry.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from .networked import documented

PACKAGE, VERSION = "@ohif/app", "3.13.2"
SHA512 = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
"""As the registry states it (`integrity`)."""

_TIMEOUT_S = 240


def ohif_pages(folder: Path) -> Path:
    """Unpacks the viewer into `folder` and returns the folder to serve; skips the test where it cannot be had."""
    named = os.environ.get("FEDVOXEL_OHIF")
    tarball = Path(named) if named else _fetched(folder)
    digest = hashlib.sha512(tarball.read_bytes()).digest()
    assert base64.b64encode(digest).decode("ascii") == SHA512, f"what came is not {PACKAGE} {VERSION}"
    with tarfile.open(tarball) as archive:
        members = [one for one in archive if one.name.startswith("package/dist/") and not one.name.endswith(".map")]
        archive.extractall(folder, members, filter="data")
    return folder / "package" / "dist"


def _fetched(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm, or FEDVOXEL_OHIF with OHIF's package")
    asked = documented(f"npm pack {PACKAGE}@{VERSION}", "clinician.md")[1:]
    command = [npm, *asked, "--ignore-scripts", "--loglevel=error", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm brought no {PACKAGE} {VERSION} within {_TIMEOUT_S} s")
    if done.returncode:
        pytest.skip(f"npm cannot fetch {PACKAGE} {VERSION}: {done.stderr.strip()[:200]}")
    return next(folder.glob("*.tgz"))
