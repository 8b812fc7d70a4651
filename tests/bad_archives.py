"""Job archives that nobody should take: each is an honest job's ZIP with one thing wrong, and why it is refused."""

import io
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from fedvoxel.governance.job_archive import LARGEST_BYTES, MOST_FILES

Spoil = Callable[[zipfile.ZipFile], None]

ESCAPED = "escaped-from-the-archive"
"""In the name of whatever leaves its folder, for a test to look for."""


def _adds(name: str, content: bytes = b"{}", mode: int = stat.S_IFREG | 0o644) -> Spoil:
    def spoil(archive: zipfile.ZipFile) -> None:
        member = zipfile.ZipInfo()
        member.filename = name  # as it stands: the constructor cuts it at a NUL
        member.external_attr = mode << 16
        archive.writestr(member, content)

    return spoil


def _bomb(archive: zipfile.ZipFile) -> None:
    archive.writestr("job/app/config/bomb.json", bytes(LARGEST_BYTES + 1), zipfile.ZIP_DEFLATED)


def _packed(method: int) -> Spoil:
    """Adds a small file that is packed by another method, and lies about nothing."""
    return lambda archive: archive.writestr("job/app/config/packed.json", b"{}", method)


def _lies(method: int, size_bytes: int = 2 * LARGEST_BYTES) -> Spoil:
    """Adds zeros of which the directory says, with their right checksum, that they are two."""

    def spoil(archive: zipfile.ZipFile) -> None:
        archive.writestr("job/app/config/lies.json", bytes(size_bytes), method)
        info = archive.getinfo("job/app/config/lies.json")
        info.file_size, info.CRC = 2, zlib.crc32(bytes(2))

    return spoil


def _says(**told: int) -> Spoil:
    """Adds a small file of which the directory says something else."""

    def spoil(archive: zipfile.ZipFile) -> None:
        archive.writestr("job/app/config/said.json", b"{}")
        for name, value in told.items():
            setattr(archive.getinfo("job/app/config/said.json"), name, value)

    return spoil


def _crowd(archive: zipfile.ZipFile) -> None:
    for number in range(2 * MOST_FILES):
        archive.writestr(f"job/app/config/{number}.json", b"")


BAD_ARCHIVES: dict[str, tuple[Spoil, str]] = {
    "dotdot": (_adds(f"job/../../{ESCAPED}.json"), "none of a file in its folder"),
    "deep dotdot": (_adds(f"job/app/config/../../../../../../tmp/{ESCAPED}"), "none of a file in its folder"),
    "backslashes": (_adds(f"job\\..\\..\\{ESCAPED}.json"), "none of a file in its folder"),
    "absolute": (_adds(f"{tempfile.gettempdir()}/{ESCAPED}"), "none of a file in its folder"),
    "no folder": (_adds(f"{ESCAPED}.json"), "none of a file in its folder"),
    "control character": (_adds("job/app/a\x1b[2J.json"), "none of a file in its folder"),
    "nul": (_adds("job/app/a.json\0.txt"), "none of a file in its folder"),
    "huge name": (_adds("job/app/" + "x" * 5000), "none of a file in its folder"),
    "deep name": (_adds("job/" + "d/" * 600 + "x.json"), "none of a file in its folder"),
    "link": (_adds("job/app/passwd.json", b"/etc/passwd", stat.S_IFLNK | 0o777), "a link or no plain file"),
    "device": (_adds("job/app/null", b"", stat.S_IFCHR | 0o666), "a link or no plain file"),
    "bomb": (_bomb, "unpacks to"),
    "bzip2": (_packed(zipfile.ZIP_BZIP2), "packed otherwise"),
    "lzma": (_packed(zipfile.ZIP_LZMA), "packed otherwise"),
    "bzip2 bomb": (_lies(zipfile.ZIP_BZIP2), "another size"),
    "lzma bomb": (_lies(zipfile.ZIP_LZMA), "another size"),
    "deflated bomb": (_lies(zipfile.ZIP_DEFLATED), "another size"),
    "more than it says": (_lies(zipfile.ZIP_STORED, size_bytes=3), "another size"),
    "one more than it says": (_lies(zipfile.ZIP_DEFLATED, size_bytes=3), "another size"),
    "less than it says": (_says(file_size=3), "another size"),
    "encrypted": (_says(flag_bits=1), "encrypted"),
    "damaged": (_says(CRC=0), "damaged"),
    "begins nowhere": (_says(header_offset=2**64 - 2), "damaged"),
    "overlapping": (_says(compress_size=LARGEST_BYTES), "say that they have more"),
    "crowd": (_crowd, "no plain ZIP"),
    "twice": (_adds("job/meta.json"), "no plain ZIP"),
    "HOCON meta": (_adds("job/meta.conf", b'include file("/etc/hostname")'), "settings that are no JSON"),
    "HOCON config": (_adds("job/app/config/config_fed_server.conf", b"a = 1"), "settings that are no JSON"),
    "YAML config": (_adds("job/app/config/config_fed_client.yml", b"a: 1"), "settings that are no JSON"),
    "fallback": (_adds("job/app/config/config_fed_client.conf.default", b"a = 1"), "settings that are no JSON"),
}


def archive_of(job: Path, spoil: Spoil | None = None) -> bytes:
    """Returns the ZIP that the console makes of a job folder named `job`, spoilt or not."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(job.rglob("*")):
            archive.write(path, path.relative_to(job.parent))
        if spoil:
            spoil(archive)
    return stream.getvalue()
