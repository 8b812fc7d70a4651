"""Installs the 3-D viewer (NiiVue) from its package: one version, known by its hash, from the registry or a file.

Nothing of it is in this package, and no Node.js is needed. Without it the review page works, and says why 3-D is off.
"""

import base64
import hashlib
import io
import os
import sysconfig
import tarfile
import urllib.request
from pathlib import Path
from urllib.error import URLError

from fedvoxel.errors import DownloadError
from fedvoxel.records.atomic import write_bytes

PACKAGE, VERSION = "@niivue/niivue", "0.69.0"
TARBALL = f"{PACKAGE}/-/niivue-{VERSION}.tgz"
SHA512 = "YMjQvJgD1W2b7DuoxkwlC4VxbrgIePRJ5qyQzXKxi2v2MBVg285P/CIQyg46oDDGDIcaNlbd+MhtO/edMbXJkA=="
"""As the registry states it (`integrity`)."""

REGISTRY_VARIABLE = "NPM_CONFIG_REGISTRY"
_REGISTRY = "https://registry.npmjs.org/"
_MEMBERS = {"package/dist/niivue.umd.js": "niivue.umd.js", "package/package.json": "package.json"}
_MOST_BYTES = 64 * 2**20
_TIMEOUT_S = 120.0


def viewer_folder() -> Path:
    """Returns where the viewer is installed: in the data folder of this Python environment."""
    return Path(sysconfig.get_path("data")) / "share" / "fedvoxel" / f"niivue-{VERSION}"


def installed_viewer(folder: Path | None = None) -> Path | None:
    """Returns the viewer's script, or None where it is not installed."""
    path = (folder or viewer_folder()) / "niivue.umd.js"
    return path if path.is_file() else None


def install_viewer(tarball: Path | None = None, folder: Path | None = None) -> Path:
    """Installs the viewer and returns its script.

    Args:
        tarball: The package as a file, for a machine without a connection; None to fetch it.
        folder: Where to; None for `viewer_folder`.

    Raises:
        DownloadError: The package cannot be had, is not the one that is known, or the folder cannot be written.
    """
    content = _fetched() if tarball is None else _read(tarball)
    if base64.b64encode(hashlib.sha512(content).digest()).decode("ascii") != SHA512:
        raise DownloadError(f"what came is not {PACKAGE} {VERSION}: its SHA-512 is another; nothing was installed")
    target = folder or viewer_folder()
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for member, name in _MEMBERS.items():
                stream = archive.extractfile(member)
                if stream is not None:
                    write_bytes(target / name, stream.read())
    except OSError as error:
        raise DownloadError(
            f"{target} cannot be written ({error.strerror}); run this as who installed fedvoxel"
        ) from None
    return target / "niivue.umd.js"


def _fetched() -> bytes:
    registry = os.environ.get(REGISTRY_VARIABLE) or _REGISTRY
    address = registry.rstrip("/") + "/" + TARBALL
    if not address.startswith("https://"):
        raise DownloadError(f"expected an https address in {REGISTRY_VARIABLE}")
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - https only, see above
            content: bytes = answer.read(_MOST_BYTES + 1)
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            f"{PACKAGE} {VERSION} cannot be fetched ({reason}): set {REGISTRY_VARIABLE}, or fetch it elsewhere "
            f"(npm pack {PACKAGE}@{VERSION}) and give it with --tarball"
        ) from None
    return content[:_MOST_BYTES]


def _read(tarball: Path) -> bytes:
    try:
        return tarball.read_bytes()
    except OSError as error:
        raise DownloadError(f"the package cannot be read: {error.strerror}") from None
