"""Fetches a public tar archive: resumed after an interruption, checked, and unpacked whole or not at all.

What has arrived is kept in a `.part` file, which the next call goes on from. Only plain files below the archive's
one folder are unpacked, so that no archive can write elsewhere.
"""

import hashlib
import os
import shutil
import ssl
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from fedvoxel.errors import DownloadError

Progress = Callable[[int, int], None]

_TIMEOUT_S = 30.0
_ATTEMPTS = 3
_PIECE_BYTES = 2**18


@dataclass(frozen=True)
class PublicArchive:
    """Names an archive.

    Attributes:
        address: Where it is, http or https.
        md5: The publisher's checksum; guards against damage, not against an attacker.
        folder: The one folder that it holds.
    """

    address: str
    md5: str
    folder: str


def fetch_archive(archive: PublicArchive, into: Path, progress: Progress | None = None) -> Path:
    """Downloads and unpacks an archive, unless it is there already.

    Args:
        archive: What to fetch.
        into: The folder that the archive's own folder goes into.
        progress: Called with (bytes done, bytes in all) while it downloads.

    Returns:
        The unpacked folder.

    Raises:
        DownloadError: The archive cannot be fetched, does not match its checksum, or cannot be unpacked; says
            what to do.
    """
    unpacked = into / archive.folder
    if unpacked.is_dir():
        return unpacked
    part = into / f"{archive.folder}.tar.part"
    try:
        into.mkdir(parents=True, exist_ok=True)
        _download(archive, part, progress)
        _require_checksum(archive, part)
        _unpack(archive, part, into)
    except OSError as error:
        raise DownloadError(
            f"{archive.folder} cannot be stored: {error.strerror or type(error).__name__}; "
            "make room or choose another folder, and run again to go on"
        ) from None
    part.unlink()
    return unpacked


def _download(archive: PublicArchive, part: Path, progress: Progress | None) -> None:
    if urlsplit(archive.address).scheme not in ("http", "https"):
        raise DownloadError(f"expected an http or https address, got {archive.address}")
    problem = ""
    for _ in range(_ATTEMPTS):
        try:
            if _continue(archive.address, part, progress):
                return
            problem = "the connection ended early"
        except urllib.error.HTTPError as error:
            problem = f"the server answers {error.code} {error.reason}"
            error.close()
            if error.code == 416 and _is_whole(error, part):
                return
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
            problem = str(getattr(error, "reason", "")) or type(error).__name__
    raise DownloadError(
        f"{archive.folder} could not be downloaded from {archive.address}: {problem}; "
        "check the network or proxy and run again, it goes on where it stopped, "
        "or fetch and unpack the file by other means and name its folder"
    )


def _is_whole(nothing_left: urllib.error.HTTPError, part: Path) -> bool:
    """Says whether what is here is as long as what is there; if it is longer, it is deleted.

    Source: RFC 9110, section 15.5.17.
    """
    whole = nothing_left.headers.get("Content-Range") == f"bytes */{part.stat().st_size}"
    if not whole:
        part.unlink()
    return whole


def _continue(address: str, part: Path, progress: Progress | None) -> bool:
    """Asks for what is missing and appends it; returns whether the file is whole."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 (the scheme was checked)
        resumed = answer.status == 206
        have = have if resumed else 0
        total = have + int(answer.headers.get("Content-Length") or 0)
        with part.open("ab" if resumed else "wb") as stream:
            return _store(answer, stream.write, (have, total), progress)


def _store(
    answer: HTTPResponse, write: Callable[[bytes], int], span: tuple[int, int], progress: Progress | None
) -> bool:
    done, total = span
    while piece := answer.read(_PIECE_BYTES):
        write(piece)
        done += len(piece)
        if progress is not None:
            progress(done, max(total, done))
    return done >= total


def _require_checksum(archive: PublicArchive, part: Path) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with part.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            digest.update(piece)
    if digest.hexdigest() != archive.md5:
        part.unlink()
        raise DownloadError(
            f"{archive.folder} does not match its checksum: expected md5 {archive.md5}, got {digest.hexdigest()}; "
            "what was downloaded is deleted, run again; if it repeats, a proxy may be changing the file"
        )


def _unpack(archive: PublicArchive, part: Path, into: Path) -> None:
    """Unpacks beside the final place and renames, so that a half-unpacked folder is never taken for a whole one."""
    temporary = Path(tempfile.mkdtemp(dir=into, prefix=f".{archive.folder}."))
    try:
        with tarfile.open(part) as tar:
            for member in tar:
                _unpack_member(tar, member, archive.folder, temporary)
        if not (temporary / archive.folder).is_dir():
            raise DownloadError(f"the archive does not hold the folder {archive.folder}; it cannot be used")
        os.replace(temporary / archive.folder, into / archive.folder)
    except (tarfile.TarError, EOFError) as error:
        part.unlink()
        raise DownloadError(f"{archive.folder} is not a tar archive ({type(error).__name__}); run again") from None
    except DownloadError:
        part.unlink()
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: str, into: Path) -> None:
    # By hand and not with extractall(filter="data"), which Python 3.11 before 3.11.4 does not have.
    place = PurePosixPath(member.name)
    if member.isdir() or place.name.startswith("._"):  # macOS leaves ._ files in archives
        return
    if not member.isreg() or place.is_absolute() or ".." in place.parts or folder not in place.parts[:1]:
        raise DownloadError(f"the archive holds something else than plain files in {folder}; it is not unpacked")
    target = into / place
    target.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    if content is None:
        raise DownloadError("the archive holds a file without content; it is not unpacked")
    with content, target.open("wb") as stream:
        shutil.copyfileobj(content, stream)
