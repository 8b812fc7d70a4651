"""A backup is of one instant, whole or refused, and a ledger that comes back from one gives no budget back."""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import BackupError, LedgerError
from fedvoxel.governance import backup, backup_source
from fedvoxel.governance.backup import NO_HEAD, check_backup, create_backup, restore_backup
from fedvoxel.governance.backup_file import MAGIC, writing
from fedvoxel.governance.certificate_register import Register
from fedvoxel.governance.consortium import Consortium, load_consortium
from fedvoxel.governance.kit import Kit, open_kit
from fedvoxel.governance.ledger_presence import MOVE_FILE, RESTORED_FILE, check_note, leave_note
from fedvoxel.privacy.ledger import open_ledger
from fedvoxel.privacy.policy import PrivacyPolicy, write_privacy_policy
from fedvoxel.records import atomic
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import AuditEvent
from fedvoxel.records.chain import Chain
from tests.governance.quick_authority import quick_authority
from tests.kept_files.make_files import BUDGET, COHORT, PLAN, RUN, update

PASSPHRASE = "correct horse battery staple"
EVENT = AuditEvent(kind="answer", outcome="missing", run_key=RUN, task="train", round=0, site="hospital-c")


def spend(kit: Path, index: int) -> None:
    """Has the site train a round."""
    ledger = open_ledger(kit / "local", kit / "state", COHORT)
    ledger.keep(ledger.reserve(RUN, "job", index, PLAN), update(index))


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def site(kit: Callable[[str], Kit]) -> Path:
    """A hospital's kit with a budget, a round that was spent, an audit log, logs, and a job's workspace."""
    folder = kit("hospital-a").folder
    write_privacy_policy(folder / "local", PrivacyPolicy(schema_version=1, cohorts={COHORT: BUDGET}))
    spend(folder, 0)
    AuditLog(folder / "state").record([EVENT])
    (folder / "startup/client.key").chmod(0o600)
    (folder / "log.txt").write_text("a log")
    (folder / "5e2c" / "app").mkdir(parents=True)
    (folder / "5e2c" / "app" / "weights.bin").write_bytes(bytes(10))
    (folder / "state/runs" / RUN).mkdir(parents=True)
    (folder / "state/runs" / RUN / ".note.json.0123456789abcdef").write_text("half")
    (folder / "state/runs" / RUN / "large.bin").write_bytes(bytes(range(256)) * 12_000)
    return folder


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_everything_that_cannot_be_made_again_comes_back(site: Path, tmp_path: Path, passphrase: str | None) -> None:
    made = create_backup(site, tmp_path / "b.fvbackup", passphrase)
    kept = {f"{folder}/{name}" for folder in ("startup", "local", "state") for name in files(site / folder)}
    kept = {name for name in kept if not name.endswith(("/lock", "running.lock", "0123456789abcdef"))}
    assert made.files == len(kept) and made.encrypted == (passphrase is not None)
    (head,) = Chain(site / "state/audit/audit.jsonl").read()
    assert made.heads["state/audit/head.json"] == head.hash
    assert (tmp_path / "b.fvbackup").stat().st_mode & 0o777 == 0o600
    readable = b"PRIVATE KEY-----" in (tmp_path / "b.fvbackup").read_bytes()
    assert readable == (passphrase is None)

    assert restore_backup(tmp_path / "b.fvbackup", tmp_path / "back", passphrase) == made
    before, after = files(site), files(tmp_path / "back")
    heads = f"state/privacy/{COHORT}/head.json"
    assert set(after) == kept | {RESTORED_FILE}
    assert {name: after[name] for name in kept - {heads}} == {name: before[name] for name in kept - {heads}}
    assert [event for _, event in AuditLog(tmp_path / "back/state").read()] == [EVENT]
    assert not list(tmp_path.glob(".*")), "nothing is left beside them"


def test_an_authority_without_anybodys_kit_is_a_workspace(tmp_path: Path) -> None:
    """As `consortium init` makes it: who has real hospitals has no consortium.json."""
    work, stick = tmp_path / "consortium", tmp_path / "stick"
    quick_authority(work / "authority")
    create_backup(work, tmp_path / "b", PASSPHRASE)
    restore_backup(tmp_path / "b", tmp_path / "back", PASSPHRASE)
    kept = {name: found for name, found in files(work).items() if not name.endswith("/lock")}
    assert files(tmp_path / "back") == kept and "authority/rootCA.key" in kept
    assert Register(tmp_path / "back/authority").lists() == 1
    quick_authority(tmp_path / "other/authority", stick)
    create_backup(tmp_path / "other", tmp_path / "c", PASSPHRASE)
    restore_backup(tmp_path / "c", tmp_path / "again", PASSPHRASE)
    assert not list((tmp_path / "again").rglob("*.key")), "a key that lies elsewhere is backed up with its medium"
    with pytest.raises(BackupError, match=r"workspace \(with authority/rootCA\.pem, or consortium\.json\)"):
        create_backup(stick, tmp_path / "d", PASSPHRASE)


def test_a_restored_ledger_spends_nothing_before_somebody_accounts_for_what_came_after(
    site: Path, tmp_path: Path
) -> None:
    made = create_backup(site, tmp_path / "b", None)
    assert made.cohorts == (f"state/privacy/{COHORT}",)
    spend(site, 1)
    back = tmp_path / "back"
    restore_backup(tmp_path / "b", back, None)
    ledger = open_ledger(back / "local", back / "state", COHORT)
    for refused in (ledger.status, ledger.verify, lambda: spend(back, 1), lambda: ledger.kept(RUN, 0, PLAN)):
        with pytest.raises(LedgerError, match="record-gap"):
            refused()
    assert any("put back from a backup" in finding.message for finding in check_note(open_kit(back)))
    ledger.record_gap(0.5, 1e-4, "J. Doe", "the disk failed; restored from Monday")
    assert ledger.status().spent_epsilon >= 0.5
    ledger.verify()


@pytest.mark.parametrize("server", [False, True])
def test_the_note_in_a_new_kit_asks_for_the_audit_log_too(server: bool, tmp_path: Path) -> None:
    leave_note(tmp_path, server)
    assert "state/audit/" in (tmp_path / MOVE_FILE).read_text()


def test_the_note_of_a_restore_says_what_the_audit_log_lacks(site: Path, tmp_path: Path) -> None:
    made = create_backup(site, tmp_path / "b", None)
    restore_backup(tmp_path / "b", tmp_path / "back", None)
    note = (tmp_path / "back" / RESTORED_FILE).read_text()
    assert (
        made.created in note and "fedvoxel audit verify --against" in note and "state/audit/ of the kit before" in note
    )


def test_what_changes_while_a_backup_is_made_is_in_it_once_and_whole(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_time = backup_source.Snapshot._read
    times: list[int] = []

    def read(self: Any) -> set[str]:
        present = first_time(self)
        times.append(1)
        if len(times) == 1:
            # Work goes on between the first reading and the locks.
            spend(site, 1)
            (site / "state/runs" / RUN / "large.bin").unlink()
            (site / "state/runs" / RUN / "new.bin").write_bytes(b"new")
        return present

    monkeypatch.setattr(backup_source.Snapshot, "_read", read)
    create_backup(site, tmp_path / "b", None)
    assert len(times) == 2
    restore_backup(tmp_path / "b", tmp_path / "back", None)
    run = tmp_path / "back/state/runs" / RUN
    assert [path.name for path in run.iterdir()] == ["new.bin"]
    place = f"state/privacy/{COHORT}/ledger.jsonl"
    assert (tmp_path / "back" / place).read_bytes() == (site / place).read_bytes()
    assert len(list((tmp_path / f"back/state/privacy/{COHORT}/releases").iterdir())) == 2


def test_no_entry_is_written_while_the_locks_are_held(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedvoxel.records.chain.LOCK_TIMEOUT_S", 0.05)
    first_time, refused = backup_source.Snapshot._read, []

    def read(self: Any) -> set[str]:
        try:
            AuditLog(site / "state").record([EVENT])
        except LedgerError as error:
            refused.append(str(error))
        return first_time(self)

    monkeypatch.setattr(backup_source.Snapshot, "_read", read)
    create_backup(site, tmp_path / "b", None)
    assert len(refused) == 1 and "locked by another process" in refused[0]


def test_a_file_that_is_being_written_is_in_no_backup(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place, seen = atomic._put_in_place, set[str]()

    def backed_up_before(stream: Any, temporary: Path, path: Path) -> None:
        monkeypatch.setattr(atomic, "_put_in_place", put_in_place)
        create_backup(site, tmp_path / "b", None)
        seen.add(temporary.name)
        put_in_place(stream, temporary, path)

    monkeypatch.setattr(atomic, "_put_in_place", backed_up_before)
    atomic.write_bytes(site / "state/runs" / RUN / "note.json", b"half")
    restore_backup(tmp_path / "b", tmp_path / "back", None)
    assert seen and not seen & {path.name for path in (tmp_path / "back").rglob("*")}


@pytest.mark.parametrize("damaged", [b"[]", b"half", b"", b"{}", b"[" * 100_000])
def test_a_kit_with_a_damaged_head_is_backed_up_as_it_is(damaged: bytes, site: Path, tmp_path: Path) -> None:
    name = "state/audit/head.json"
    (site / name).write_bytes(damaged)
    assert create_backup(site, tmp_path / "b", None).heads[name] == NO_HEAD
    restore_backup(tmp_path / "b", tmp_path / "back", None)
    assert (tmp_path / "back" / name).read_bytes() == damaged


def test_what_cannot_be_read_back_is_not_left(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(*_: Any) -> None:
        raise BackupError("it is not what was written")

    with monkeypatch.context() as patched:
        patched.setattr(backup, "check_backup", changed)
        with pytest.raises(BackupError, match="not what was written"):
            create_backup(site, tmp_path / "b", None)
    create_backup(site, tmp_path / "b", None)


def test_a_workspace_with_its_authority_comes_back(consortium: Consortium, tmp_path: Path) -> None:
    workspace = Path(shutil.copytree(consortium.workspace, tmp_path / "ws"))
    create_backup(workspace, tmp_path / "b", PASSPHRASE)
    restore_backup(tmp_path / "b", tmp_path / "back", PASSPHRASE)
    again = load_consortium(tmp_path / "back")
    assert again.record == consortium.record
    secrets = [path for path in (workspace / "authority").rglob("*") if path.is_file() and path.name != "lock"]
    assert secrets, "the authority's own files"
    for secret in secrets:
        restored = tmp_path / "back" / secret.relative_to(workspace)
        assert restored.read_bytes() == secret.read_bytes()
        assert restored.stat().st_mode == secret.stat().st_mode
    assert open_kit(again.kit("hospital-a")).name == "hospital-a"


# ------------------------------------------------------------------ what is refused


def test_nothing_is_ever_overwritten(site: Path, tmp_path: Path) -> None:
    create_backup(site, tmp_path / "b", None)
    content = (tmp_path / "b").read_bytes()
    with pytest.raises(BackupError, match="never overwritten"):
        create_backup(site, tmp_path / "b", None)
    assert (tmp_path / "b").read_bytes() == content
    (tmp_path / "back").mkdir()
    with pytest.raises(BackupError, match="never writes over anything"):
        restore_backup(tmp_path / "b", tmp_path / "back", None)
    with pytest.raises(BackupError, match="in what it backs up"):
        create_backup(site, site / "state/b", None)
    with pytest.raises(BackupError, match="neither a kit nor"):
        create_backup(tmp_path / "back", tmp_path / "c", None)


def test_a_link_is_refused_and_leaves_nothing(site: Path, tmp_path: Path) -> None:
    (site / "state/elsewhere").symlink_to("/etc")
    with pytest.raises(BackupError, match="elsewhere in state is a link"):
        create_backup(site, tmp_path / "b", None)
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_changed_or_cut_backup_is_refused(site: Path, tmp_path: Path, passphrase: str | None) -> None:
    path = tmp_path / "b"
    create_backup(site, path, passphrase)
    whole = path.read_bytes()
    for place in (3, 40, len(whole) // 2, len(whole) - 70, len(whole) - 2):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BackupError):
            restore_backup(path, tmp_path / "back", passphrase)
    for end in (0, 10, 500, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(BackupError):
            restore_backup(path, tmp_path / "back", passphrase)
    assert not (tmp_path / "back").exists()
    path.write_bytes(whole)
    other = "another passphrase" if passphrase else PASSPHRASE
    with pytest.raises(BackupError, match="passphrase"):
        check_backup(path, other)
    with pytest.raises(BackupError, match="give it"):
        check_backup(path, None) if passphrase else _with_passphrase(site, tmp_path)


def _with_passphrase(site: Path, folder: Path) -> None:
    create_backup(site, folder / "sealed", PASSPHRASE)
    check_backup(folder / "sealed", None)


NOTHING = b"1\n299999999\n0\n".ljust(512, b"\0")
"""Where a sparse file has bytes."""


def _link(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


def _sparse(name: str) -> tarfile.TarInfo:
    """Returns a file of 300 MB in 512 bytes."""
    info = tarfile.TarInfo("x")
    said = {"major": "1", "minor": "0", "name": name, "realsize": "300000000"}
    info.size, info.pax_headers = len(NOTHING), {f"GNU.sparse.{key}": value for key, value in said.items()}
    return info


ABOUT = {"name": "x", "created": "now", "fedvoxel": "0.2.0"}


def crafted(path: Path, about: dict[str, Any], manifest: Any, *names: str) -> Path:
    """Writes a backup of empty files whose hashes are right."""
    with writing(path, about, None) as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
        for name, content in (*((name, b"") for name in names), ("MANIFEST.json", json.dumps(manifest).encode())):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("about", "manifest", "names", "why"),
    [
        ({"name": "x", "created": "now"}, {}, (), "no backup of this version"),
        (ABOUT | {"name": "\x1b[2J"}, {}, (), "no backup of this version"),
        (ABOUT | {"created": ["now"]}, {}, (), "no backup of this version"),
        (ABOUT, {"state/ledger.jsonl": None}, (), "does not hold what its manifest says"),
        (ABOUT, {}, ("",), "a file without a name"),
        (ABOUT, {}, ("a", "a/b"), "cannot be read|could not be put back"),
        (ABOUT, {}, ("x" * 300,), "cannot be read|could not be put back"),
    ],
)
def test_a_backup_that_says_something_else_is_refused_and_leaves_nothing(
    about: dict[str, Any], manifest: Any, names: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    path = crafted(tmp_path / "b", about, manifest, *names)
    with pytest.raises(BackupError, match=why):
        restore_backup(path, tmp_path / "back", None)
    assert [one.name for one in tmp_path.iterdir()] == ["b"]


def test_a_head_is_shown_only_if_it_is_a_hash(tmp_path: Path) -> None:
    content = json.dumps({"hash": "\x1b[2J"}).encode()
    with writing(tmp_path / "b", ABOUT, None) as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
        backup_source.add_file(archive, "head.json", content, 0o600)
        manifest = {"head.json": backup_source.facts_of(content, 0o600)}
        backup_source.add_file(archive, "MANIFEST.json", json.dumps(manifest).encode(), 0o600)
    assert check_backup(tmp_path / "b", None).heads == {"head.json": NO_HEAD}


def test_a_pipe_in_the_place_of_a_backup_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "b")
    with pytest.raises(BackupError, match="not a regular file"):
        check_backup(tmp_path / "b", None)


@pytest.mark.parametrize(
    "member", [tarfile.TarInfo("../outside"), tarfile.TarInfo("/outside"), _link("in"), _sparse("in")]
)
def test_a_crafted_backup_puts_nothing_outside(member: tarfile.TarInfo, tmp_path: Path) -> None:
    path = tmp_path / "b"
    about = {"name": "x", "created": "now", "fedvoxel": "0.2.0"}
    with writing(path, about, None) as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
        archive.addfile(member, io.BytesIO(NOTHING))
        content = json.dumps({}).encode()
        manifest = tarfile.TarInfo("MANIFEST.json")
        manifest.size = len(content)
        archive.addfile(manifest, io.BytesIO(content))
    assert path.read_bytes().startswith(MAGIC)
    with pytest.raises(BackupError, match="something else than plain files"):
        restore_backup(path, tmp_path / "back", None)
    assert [one.name for one in tmp_path.iterdir()] == ["b"]
