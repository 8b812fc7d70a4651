"""What a job may consist of before FLARE unpacks or parses it: plain files below one folder, settings in JSON.

FLARE unpacks a member as far as its content goes, whatever the directory says (up to 2 GiB deflated, without end in
bzip2 and LZMA). So each is unpacked here first, a piece at a time, and kept nowhere.

FLARE also reads settings in HOCON and YAML, and takes them where there is no JSON. HOCON can include files of the
machine that reads it and whatever an address answers, and nothing here looks into either.
"""

import re
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path

from fedvoxel.errors import JobError, PackageError
from fedvoxel.export.archive import Archive, open_archive

LARGEST_BYTES = 16 * 2**20
"""Most bytes of an app that anybody is asked to approve, and of a whole job."""

MOST_FILES = 1000

_LONGEST_NAME, _LONGEST_PART = 1000, 200
_FOREIGN_SETTINGS = re.compile(r"\.(conf|ya?ml|default)$", re.IGNORECASE)
_PLAIN_KINDS = (0, stat.S_IFREG, stat.S_IFDIR)


def check_formats(names: Iterable[str]) -> None:
    """Refuses files that FLARE would read as settings in another language than JSON, wherever they lie.

    Raises:
        JobError: There is one.
    """
    foreign = sorted(name for name in names if _FOREIGN_SETTINGS.search(name))
    if foreign:
        raise JobError(
            f"the job holds settings that are no JSON ({_shown(foreign[0])}): FLARE would follow what they include; "
            "write them as JSON"
        )


def check_job_archive(path: Path) -> None:
    """Refuses a submitted job's ZIP that is not what the console makes of a job folder; nothing is unpacked to disk.

    Raises:
        JobError: It is damaged, unpacks to more than a job may have or than it says, is encrypted or packed otherwise
            than deflated, holds a name twice, a link, a name that leads out of its folder, or settings that are no
            JSON.
    """
    try:
        with open_archive(path, 2 * MOST_FILES, LARGEST_BYTES) as archive:
            _check_sizes(archive.members)
            for member in archive.members:
                _check_member(member)
            check_formats(archive.names)
            for member in archive.members:
                _check_content(archive, member)
    except PackageError:
        raise JobError(
            f"the job's archive is no plain ZIP of at most {LARGEST_BYTES >> 20} MiB and {2 * MOST_FILES} members, "
            "each of another name"
        ) from None


def _check_sizes(members: tuple[zipfile.ZipInfo, ...]) -> None:
    size_bytes = sum(member.file_size for member in members)
    if size_bytes > LARGEST_BYTES:
        raise JobError(f"the job unpacks to {size_bytes} bytes, of which at most {LARGEST_BYTES} are taken")
    # Members that share bytes would have the same bytes unpacked again and again.
    if sum(member.compress_size for member in members) > LARGEST_BYTES:
        raise JobError(f"the members of the job's archive say that they have more than its {LARGEST_BYTES} bytes")


def _check_member(member: zipfile.ZipInfo) -> None:
    name = member.filename
    parts = name.removesuffix("/").split("/")
    plain = all(0 < len(part) <= _LONGEST_PART and part not in (".", "..") for part in parts)
    inside = member.is_dir() or len(parts) > 1
    # `zipfile` cuts a name at its first NUL.
    readable = member.orig_filename.isprintable() and "\\" not in name and len(name) <= _LONGEST_NAME
    if not (plain and inside and readable):
        raise JobError(f"the job's archive holds the name {_shown(name)}, which is none of a file in its folder")
    if stat.S_IFMT(member.external_attr >> 16) not in _PLAIN_KINDS:
        raise JobError(f"the job's archive holds {_shown(name)}, which is a link or no plain file")


def _check_content(archive: Archive, member: zipfile.ZipInfo) -> None:
    try:
        for _ in archive.pieces(member.filename, member.file_size):
            pass
    except PackageError:
        raise JobError(
            f"the job's archive holds {_shown(member.filename)}, which is damaged, encrypted, packed otherwise than "
            "deflated, or of another size than the archive says; submit the job's folder"
        ) from None


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 80 else name[:77] + "...")
