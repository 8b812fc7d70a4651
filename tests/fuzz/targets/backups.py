"""Backups: the header, the tar and its manifest, of a file whose hash is right or not."""

import hashlib
import io
import json
import tarfile
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import strategies as st

from fedvoxel.errors import BackupError
from fedvoxel.governance.backup import MANIFEST, check_backup, create_backup, restore_backup
from fedvoxel.governance.backup_file import MAGIC
from fedvoxel.governance.backup_source import facts_of
from fedvoxel.privacy.ledger import Ledger
from tests.approval_kits import Hospital
from tests.fuzz.mutation import mutated_bytes, mutated_value, written
from tests.fuzz.spoiled import lay_out
from tests.fuzz.target import Target, UnwantedError
from tests.privacy.ledger_processes import BUDGET, COHORT, plan_of

_PASSPHRASE = "correct horse battery staple"


@cache
def _backup() -> tuple[bytes, bytes]:
    """A backup in the clear, and an encrypted one."""
    folder = Path(mkdtemp(prefix="fedvoxel_fuzz_"))
    kit = Hospital(folder).kit.folder
    Ledger(kit / "state" / "privacy", COHORT, BUDGET).reserve("run", "job", 0, plan_of(3))
    (kit / "state" / "runs" / "run" / "journal").mkdir(parents=True)
    (kit / "state" / "runs" / "run" / "journal" / "journal.json").write_text("{}")
    for name, secret in (("clear", None), ("sealed", _PASSPHRASE)):
        create_backup(kit, folder / name, secret)
    return (folder / "clear").read_bytes(), (folder / "sealed").read_bytes()


def _opened() -> tuple[dict[str, Any], dict[str, tuple[bytes, int]]]:
    """The header's words, and the files with their modes."""
    content = _backup()[0]
    header = content[: content.index(b"\n") + 1]
    with tarfile.open(fileobj=io.BytesIO(content[len(header) : -65])) as archive:
        files = {one.name: (_read(archive, one), one.mode) for one in archive}
    return json.loads(header.removeprefix(MAGIC)), files


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    return stream.read() if stream else b""


_NAMES = (
    *("../escaped", "/escaped", "a/../../escaped", "", ".", "./x", "RESTORED.txt/x", "state/RESTORED.txt", "x" * 300),
    *("startup", "startup/client.key/x", "state/privacy/new/ledger.jsonl/x", "a\nb", "\x1b[2J", "é", MANIFEST),
    *(
        "state/privacy/new/ledger.jsonl",
        "state/privacy/new/head.json/x",
        "state/jobs/x",
        "d/" * 100 + "x",
        "a//b",
        "a/",
    ),
    *("state/runs/x/journal/restored.txt/x", "state/runs/x/journal/y", "state/restored.txt/x"),
)
_TYPES = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE)
_PAX = (
    {"size": "99999999999"},
    {"path": "../escaped"},
    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
    {"mtime": "x"},
)


@st.composite
def _files(draw: st.DrawFn) -> bytes:
    """A backup with another header, manifest, member or bytes, whose hash is right."""
    about, files = _opened()
    kind = draw(st.sampled_from(("header", "manifest", "name", "type", "pax", "tar", "size", "many", "sealed")))
    if kind == "sealed":
        return draw(mutated_bytes((_backup()[1],)))
    manifest: Any = json.loads(files.pop(MANIFEST)[0])
    extra: list[tarfile.TarInfo] = []
    if kind == "header":
        about = draw(mutated_value((about,)))
    elif kind == "manifest":
        manifest = draw(mutated_value((manifest, dict.fromkeys(("x", "state/head.json")))))
    elif kind != "tar":
        extra = [_member(draw, kind, manifest)]
    tar = _tar(files, manifest, extra)
    return _file(about, draw(mutated_bytes((tar,))) if kind == "tar" else tar)


def _member(draw: st.DrawFn, kind: str, manifest: dict[str, Any]) -> tarfile.TarInfo:
    info = tarfile.TarInfo(draw(st.sampled_from(_NAMES)) if kind == "name" else "state/extra")
    info.mode = draw(st.sampled_from((0o600, 0, 0o7777)))
    if kind == "type":
        info.type, info.linkname = draw(st.sampled_from(_TYPES)), "/etc/passwd"
    elif kind == "pax":
        info.pax_headers = dict(draw(st.sampled_from(_PAX)))
    elif kind == "size":
        info.size = draw(st.sampled_from((1, 2**36, 2**62)))
    manifest[info.name] = facts_of(b"", info.mode & 0o777)
    return info


def _tar(files: dict[str, tuple[bytes, int]], manifest: Any, extra: list[tarfile.TarInfo]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, (content, mode) in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content))
        content = written(manifest)
        info = tarfile.TarInfo(MANIFEST)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
        for one in extra:
            archive.addfile(one)
    return stream.getvalue()


def _file(about: Any, tar: bytes) -> bytes:
    content = MAGIC + written(about).replace(b"\n", b"") + b"\n" + tar
    return content + hashlib.sha256(content).hexdigest().encode() + b"\n"


def _restore(content: bytes, folder: Path) -> None:
    """What was refused leaves nothing; what was put back is there, and its ledgers wait for a person."""
    path, target = folder / "given.fvbackup", folder / "put back" / "kit"
    path.write_bytes(content)
    secret = _PASSPHRASE if b'"salt": null' not in content[:10_000] else None
    try:
        restored = restore_backup(path, target, secret)
    except BackupError as error:
        if target.exists() or not str(error).isprintable():
            raise UnwantedError(f"something is left, or a refusal that is not one line: {error}") from None
        raise
    check_backup(path, secret)
    shown = json.dumps(asdict(restored), ensure_ascii=False)
    shown.encode()
    if not all(
        part.isprintable() for part in (restored.name, restored.created, restored.fedvoxel, *restored.heads.values())
    ):
        raise UnwantedError("what is shown controls the terminal")
    if any(path.is_symlink() for path in target.rglob("*")):
        raise UnwantedError("a link that was put back")


_ODD = ("pipe", "folder", "link", "huge", "missing")


def _no_file(kind: str, folder: Path) -> None:
    (folder / "given").mkdir()
    path = lay_out(folder / "given", ("backup", kind), folder / "copies") / "backup"
    check_backup(path, None)


def _files_or_none() -> st.SearchStrategy[bytes | str]:
    return st.one_of(_files(), st.sampled_from(_ODD))


def _act(given: bytes | str, folder: Path) -> None:
    if isinstance(given, str):
        _no_file(given, folder)
    else:
        _restore(given, folder)


TARGETS = (Target("backup", "backups", st.deferred(_files_or_none), _act, (BackupError,), bytes_origins=_backup()),)
