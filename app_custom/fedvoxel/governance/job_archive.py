"""What a job may consist of before FLARE unpacks or parses it: plain files below one folder, settings in JSON.

FLARE also reads settings in HOCON and YAML, and takes them where there is no JSON. HOCON can include files of the
machine that reads it and whatever an address answers, and nothing here looks into either.
"""

import re
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path

from fedvoxel.errors import JobError, PackageError
from fedvoxel.export.archive import open_archive

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
    """Refuses a submitted job's ZIP that is not what the console makes of a job folder; nothing is unpacked.

    Raises:
        JobError: It is damaged, unpacks to more than a job may have, holds a name twice, a link, a name that leads out
            of its folder, or settings that are no JSON.
    """
    try:
        with open_archive(path, 2 * MOST_FILES, LARGEST_BYTES) as archive:
            members = archive.members
    except PackageError:
        raise JobError(
            f"the job's archive is no plain ZIP of at most {LARGEST_BYTES >> 20} MiB and {2 * MOST_FILES} members, "
            "each of another name"
        ) from None
    size_bytes = sum(member.file_size for member in members)
    if size_bytes > LARGEST_BYTES:
        raise JobError(f"the job unpacks to {size_bytes} bytes, of which at most {LARGEST_BYTES} are taken")
    for member in members:
        _check_member(member)
    check_formats(member.filename for member in members)


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


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 80 else name[:77] + "...")
