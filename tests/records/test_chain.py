"""The append-only chain: what a crash may leave is mended, what a crash cannot leave is refused."""

import errno
import fcntl
import json
import os
import pwd
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import LedgerError
from fedvoxel.records import chain as chain_module
from fedvoxel.records.canonical import sha256_of
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import FIRST, Entry, entry_of, next_entry
from fedvoxel.records.chain_lock import account

ROOT = Path(__file__).resolve().parents[2]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
Lines = list[bytes]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A chain of three entries."""
    path = tmp_path / "chain" / "lines.jsonl"
    chain = Chain(path, lambda: NOON)
    for number in range(3):
        chain.append({"number": number})
    return path


def numbers(path: Path) -> list[int]:
    return [entry.body["number"] for entry in Chain(path).read()]


def head_of(path: Path) -> Path:
    return path.with_name("head.json")


GOLDEN_HASH = b"010e7c8b64814c871b505ce28957ea812300d472a7e80e73b14bb02bfa523eba"
"""By sha256sum, of the line without its hash."""


def test_a_line_is_what_it_was(path: Path) -> None:
    """Chains of earlier versions must verify for ever: neither the bytes nor the hash may change."""
    assert path.read_bytes().split(b"\n")[0] == (
        b'{"at":"2026-03-01T12:00:00.000000Z","body":{"number":0},"clock_behind_s":0.0,'
        b'"hash":"' + GOLDEN_HASH + b'","index":0,"previous":"' + b"0" * 64 + b'"}'
    )


def test_entries_hold_each_other_and_the_head_is_the_last(path: Path) -> None:
    entries = Chain(path).read()
    assert [entry.index for entry in entries] == [0, 1, 2]
    assert [entry.previous for entry in entries] == [FIRST, entries[0].hash, entries[1].hash]
    assert head_of(path).read_bytes() == entries[-1].line + b"\n"
    assert sorted(file.name for file in path.parent.iterdir()) == ["head.json", "lines.jsonl", "lock"]
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("owners_umask")
def test_a_public_chain_is_for_every_account_to_read_and_any_other_for_its_owner(tmp_path: Path) -> None:
    for public, mode in ((True, 0o644), (False, 0o600)):
        path = tmp_path / str(public) / "lines.jsonl"
        chain = Chain(path, public=public)
        for number in range(2):
            chain.append({"number": number})
            assert {name.stat().st_mode & 0o777 for name in (path, path.with_name("head.json"))} == {mode}
    path = tmp_path / "True" / "lines.jsonl"
    for before, after in ((0o600, 0o644), (0o664, 0o664)):
        path.chmod(before)  # as an earlier version left it; as somebody has shared it with other publishers
        Chain(path, public=True).append({"number": 2})
        assert path.stat().st_mode & 0o777 == after


def test_reading_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    assert Chain(tmp_path / "new" / "lines.jsonl").read() == []
    assert list(tmp_path.iterdir()) == []


def test_what_json_cannot_hold_is_not_written(path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        Chain(path).append({"number": float("nan")})
    assert numbers(path) == [0, 1, 2]


def test_an_entry_holds_what_a_reader_finds(path: Path) -> None:
    written = Chain(path).append({"number": 3, "pair": (1, 2), "text": "ü\n\u2028"})
    assert written == Chain(path).read()[-1]
    assert written.body["pair"] == [1, 2]


# ------------------------------------------------------------------ what a crash may leave


def test_an_unfinished_line_is_removed_wherever_it_ends(path: Path) -> None:
    whole = path.read_bytes()
    line = next_entry(Chain(path).read()[-1], {"number": 3}, NOON).line
    for cut in range(1, len(line) + 1):
        path.write_bytes(whole + line[:cut])
        assert numbers(path) == [0, 1, 2]
    assert path.read_bytes() == whole + line, "reading changes nothing"
    Chain(path).append({"number": 4})
    assert numbers(path) == [0, 1, 2, 4]


@pytest.mark.parametrize("writes", range(6))
def test_a_crash_after_any_of_the_writes_of_several_entries_leaves_a_chain(
    writes: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def until_killed(name: str) -> None:
        own = getattr(chain_module, name)

        def written(*arguments: Any, **named: Any) -> None:
            if len(done) == writes:
                raise KeyboardInterrupt
            own(*arguments, **named)
            done.append(name)

        monkeypatch.setattr(chain_module, name, written)

    for name in ("write_after", "write_bytes"):
        until_killed(name)
    with pytest.raises(KeyboardInterrupt), Chain(path).writing() as chain:
        chain.append_each({"number": number} for number in range(3, 6))
    monkeypatch.undo()
    assert numbers(path) == list(range(3 + (writes + 1) // 2))
    Chain(path).append({"number": 9})
    assert numbers(path)[-1] == 9


def test_a_crash_between_line_and_head_costs_nothing(path: Path) -> None:
    head = head_of(path).read_bytes()
    Chain(path).append({"number": 3})
    head_of(path).write_bytes(head)
    assert numbers(path) == [0, 1, 2, 3]
    Chain(path).append({"number": 4})
    assert numbers(path) == [0, 1, 2, 3, 4]


def test_a_crash_before_the_first_head_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "chain" / "lines.jsonl"
    Chain(path).append({"number": 0})
    head_of(path).unlink()
    assert numbers(path) == [0]
    with Chain(path).writing():
        assert head_of(path).exists()


@contextmanager
def full_disk(size_bytes: int) -> Iterator[None]:
    """Makes every file end at a size, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("room_bytes", [0, 1, 100])
def test_a_full_disk_leaves_the_chain_as_it_was(path: Path, room_bytes: int) -> None:
    whole = path.read_bytes()
    with full_disk(len(whole) + room_bytes), pytest.raises(LedgerError, match=r"lines\.jsonl cannot .*File too large"):
        Chain(path).append({"number": 3})
    assert path.read_bytes() == whole
    assert Chain(path).append({"number": 3}).index == 3


def test_a_folder_in_the_files_place_is_one_line(path: Path) -> None:
    path.unlink()
    path.mkdir()
    with pytest.raises(LedgerError, match=r"lines\.jsonl cannot be read or written \(Is a directory\)$"):
        Chain(path).read()


# ------------------------------------------------------------------ what no crash can leave


def forged(line: bytes, **changes: object) -> bytes:
    """Returns a line with other content and a hash that fits it."""
    entry = json.loads(line) | changes
    before = Entry(entry["index"] - 1, FIRST, entry["at"], 0.0, {}, entry["previous"]) if entry["index"] else None
    return next_entry(before, entry["body"], datetime.fromisoformat(entry["at"])).line


TAMPERED: dict[str, Callable[[Lines], Lines]] = {
    "a digit": lambda lines: [lines[0], lines[1].replace(b'"number":1', b'"number":7'), lines[2]],
    "a space": lambda lines: [lines[0], lines[1].replace(b'"number":1', b'"number": 1'), lines[2]],
    "another way to write a number": lambda lines: [lines[0].replace(b":0.0,", b":0,"), *lines[1:]],
    "a key twice": lambda lines: [lines[0], lines[1].replace(b'{"number":1}', b'{"number":7,"number":1}'), lines[2]],
    "the hash": lambda lines: [lines[0], lines[1][:-90] + lines[1][-90:].replace(b"1", b"2"), lines[2]],
    "no JSON": lambda lines: [lines[0], b"...", lines[2]],
    "no object": lambda lines: [lines[0], b"[1]", lines[2]],
    "no text": lambda lines: [lines[0], b"\xff\xfe", lines[2]],
    "nested without end": lambda lines: [lines[0], b"[" * 100_000, lines[2]],
    "an empty line": lambda lines: [lines[0], b"", *lines[1:]],
    "Windows line ends": lambda lines: [line + b"\r" for line in lines],
    "the first dropped": lambda lines: lines[1:],
    "one dropped": lambda lines: [lines[0], lines[2]],
    "the last dropped": lambda lines: lines[:2],
    "all dropped": lambda lines: [],
    "two exchanged": lambda lines: [lines[1], lines[0], lines[2]],
    "the last two exchanged": lambda lines: [lines[0], lines[2], lines[1]],
    "one twice": lambda lines: [lines[0], lines[1], lines[1], lines[2]],
    "the last twice": lambda lines: [*lines, lines[2]],
    "one forged with its hash": lambda lines: [lines[0], forged(lines[1], body={"number": 7}), lines[2]],
    "the last forged with its hash": lambda lines: [lines[0], lines[1], forged(lines[2], body={"number": 7})],
    "an earlier time": lambda lines: [*lines[:2], forged(lines[2], at="2026-02-28T12:00:00.000000Z")],
    "two put in": lambda lines: [*lines, *put_in(lines)],
}


def put_in(lines: Lines) -> Lines:
    first = forged(lines[2], index=3, previous=json.loads(lines[2])["hash"], body={"number": 3})
    return [first, forged(first, index=4, previous=json.loads(first)["hash"], body={"number": 4})]


@pytest.mark.parametrize("how", TAMPERED)
def test_tampered_lines_are_refused(path: Path, how: str) -> None:
    before = path.read_bytes().splitlines()
    content = b"".join(line + b"\n" for line in TAMPERED[how](before))
    path.write_bytes(content)
    for call in (Chain(path).read, lambda: Chain(path).append({"number": 3})):
        with pytest.raises(LedgerError) as refused:
            call()
        assert "lines.jsonl" in str(refused.value) and "\n" not in str(refused.value)
        assert str(path.parent) not in str(refused.value)
    assert path.read_bytes() == content, "a chain that is refused is left as it is"


def test_a_known_line_without_its_line_break_is_refused(path: Path) -> None:
    """It looks unfinished, but the head says that it was written: it must not be removed."""
    content = path.read_bytes()[:-1]
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="has 2 entries where 3 were written"):
        Chain(path).append({"number": 3})
    assert path.read_bytes() == content


def test_an_older_copy_is_refused(path: Path) -> None:
    older = path.read_bytes()
    Chain(path).append({"number": 3})
    path.write_bytes(older)
    with pytest.raises(LedgerError, match="has 3 entries where 4 were written: older or cut; put the newest copy back"):
        Chain(path).read()


def test_another_chain_in_its_place_is_refused(path: Path, tmp_path: Path) -> None:
    other = Chain(tmp_path / "other" / "lines.jsonl")
    for number in range(4):
        other.append({"number": number})
    path.write_bytes((tmp_path / "other" / "lines.jsonl").read_bytes())
    with pytest.raises(LedgerError, match=r"is not the file that head\.json belongs to"):
        Chain(path).read()


@pytest.mark.parametrize("content", [None, b"", b"{}", b"...", b"\xff"])
def test_a_head_that_is_gone_or_changed_is_refused(path: Path, content: bytes | None) -> None:
    head_of(path).unlink()
    if content is not None:
        head_of(path).write_bytes(content)
    with pytest.raises(LedgerError, match=r"head\.json"):
        Chain(path).append({"number": 3})


def test_an_older_head_is_refused(path: Path) -> None:
    head = head_of(path).read_bytes()
    Chain(path).append({"number": 3})
    Chain(path).append({"number": 4})
    head_of(path).write_bytes(head)
    with pytest.raises(LedgerError, match=r"has 5 entries where head\.json knows 3"):
        Chain(path).read()


# ------------------------------------------------------------------ recovering


def test_recovering_forgives_the_head_only(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0])
    with Chain(path).recovering() as chain:
        assert chain.head is not None and chain.head.index == 2
        chain.append({"number": 10}, {"number": 11})
    assert numbers(path) == [0, 10, 11]
    path.write_bytes(lines[0] + lines[2])
    with pytest.raises(LedgerError, match="line 2"), Chain(path).recovering():
        pass


def test_recovering_without_an_append_changes_nothing(path: Path) -> None:
    path.write_bytes(b"")
    with Chain(path).recovering():
        pass
    with pytest.raises(LedgerError, match="has 0 entries where 3 were written"):
        Chain(path).read()


def test_recovering_with_a_head_that_cannot_be_read(path: Path) -> None:
    head_of(path).write_bytes(b"...")
    with Chain(path).recovering() as chain:
        assert chain.head is None
        chain.append({"number": 3})
    assert numbers(path) == [0, 1, 2, 3]


# ------------------------------------------------------------------ clock and lock


def test_a_clock_that_goes_back_is_noted_and_the_index_decides(tmp_path: Path) -> None:
    path = tmp_path / "chain" / "lines.jsonl"
    times = iter([NOON, NOON - timedelta(hours=1), NOON + timedelta(seconds=1)])
    chain = Chain(path, lambda: next(times))
    for number in range(3):
        chain.append({"number": number})
    entries = chain.read()
    assert [entry.at[11:19] for entry in entries] == ["12:00:00", "12:00:00", "12:00:01"]
    assert [entry.clock_behind_s for entry in entries] == [0, 3600, 0]


def test_a_lock_that_stays_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_module, "LOCK_TIMEOUT_S", 0.05)
    with Chain(path).writing(), pytest.raises(LedgerError, match="locked by another process"):
        Chain(path).read()
    assert numbers(path) == [0, 1, 2]


def test_a_copy_that_cannot_be_written_is_read_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def on_a_medium_for_reading(file: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(file, flags, *more, **named)

    monkeypatch.setattr(os, "open", on_a_medium_for_reading)
    assert numbers(path) == [0, 1, 2]
    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert numbers(path) == [0, 1, 2]
    path.with_name("lock").unlink()
    assert numbers(path) == [0, 1, 2]
    assert sorted(file.name for file in path.parent.iterdir()) == ["head.json", "lines.jsonl"]
    head_of(path).write_bytes(Chain(path).read()[0].line + b"\n")
    with pytest.raises(LedgerError, match="not its own"):
        Chain(path).read()
    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(LedgerError, match="cannot be read or written"):
        Chain(path).append({"number": 3})


def no_locks(handle: int, operation: int) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_who_reads_without_the_lock_reads_again_where_somebody_wrote(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.with_name("lock").unlink()
    read = chain_module.bytes_of

    def between_head_and_lines(file: Path) -> bytes | None:
        content = read(file)
        monkeypatch.setattr(chain_module, "bytes_of", read)
        for number in (3, 4):
            Chain(path).append({"number": number})
        return content

    monkeypatch.setattr(chain_module, "bytes_of", between_head_and_lines)
    assert numbers(path) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("caller", [0, 4999])
def test_another_account_than_the_owner_adds_nothing(
    caller: int, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it wrote its owner could not read: one command given as root would stand a service still."""
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: caller if caller != owner else owner + 1)
    tmp_path.chmod(0o755)
    said = rf"jsonl belongs to account {pwd.getpwuid(owner).pw_name}, "
    for closed in (Chain(path), Chain(tmp_path / "state" / "new" / "lines.jsonl")):
        for opened in (closed.writing, closed.recovering, lambda of=closed: of.continuing(None)):
            with pytest.raises(LedgerError, match=said), opened():
                pytest.fail("it was opened")
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before
    assert numbers(path) == [0, 1, 2]
    assert not (tmp_path / "state").exists()
    Chain(path, public=True).append({"number": 3})
    tmp_path.chmod(0o775)
    Chain(tmp_path / "shared" / "lines.jsonl").append({"number": 0})


def test_an_account_without_a_name_is_a_number() -> None:
    assert account(2**31 - 7) == f"#{2**31 - 7}"


def test_who_goes_on_reads_again_only_what_others_wrote(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain, read = Chain(path, lambda: NOON), []
    verified = chain_module.verified_entries
    monkeypatch.setattr(chain_module, "verified_entries", lambda *given: read.append(given) or verified(*given))
    with chain.continuing(None) as last:
        last.append({"number": 3})
    for number in (4, 5):
        with chain.continuing(last) as again:
            assert again is last
            again.append({"number": number})
    assert [given[0] for given in read[1:]] == [b"", b""]
    with Chain(path, lambda: NOON).writing() as other:
        other.append({"number": 6}, {"number": 7})
    read.clear()
    with chain.continuing(last) as again:
        assert again is last and len(again.entries) == 8
        again.append({"number": 8})
    ((content, *_),) = read
    assert content.count(b"\n") == 2, "of the lines that it knows none is read again"
    assert numbers(path) == list(range(9))


@pytest.mark.parametrize("crashed", [False, True])
def test_who_goes_on_may_have_dropped_the_first_entries(path: Path, crashed: bool) -> None:
    chain = Chain(path, lambda: NOON)
    with chain.continuing(None) as last:
        last.entries = last.entries[-1:]
    head = head_of(path).read_bytes()
    Chain(path, lambda: NOON).append({"number": 3})
    if crashed:  # between line and head, and in the middle of the next line
        head_of(path).write_bytes(head)
        path.write_bytes(path.read_bytes() + b'{"at":')
    with chain.continuing(last) as again:
        assert again is last and [entry.body["number"] for entry in again.entries] == [2, 3]
        assert head_of(path).read_bytes() == again.entries[-1].line + b"\n", "the head is brought up first"
        again.append({"number": 4})
    assert numbers(path) == list(range(5))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _without_head(path: Path) -> None:
    head_of(path).unlink()


def _older_head(path: Path) -> None:
    head_of(path).write_bytes(path.read_bytes().splitlines(keepends=True)[0])


def _last_line_changed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"number":3', b'"number":8'))


def _all_gone(path: Path) -> None:
    path.unlink()


def _foreign_line_added(path: Path) -> None:
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[1])


def _two_lines_that_the_head_lacks(path: Path) -> None:
    head = head_of(path).read_bytes()
    for number in (4, 5):
        Chain(path, lambda: NOON).append({"number": number})
    head_of(path).write_bytes(head)


NOT_GOING_ON = [
    _cut,
    _without_head,
    _older_head,
    _last_line_changed,
    _all_gone,
    _foreign_line_added,
    _two_lines_that_the_head_lacks,
]


@pytest.mark.parametrize("tampered", NOT_GOING_ON)
def test_who_goes_on_sees_a_file_that_does_not(path: Path, tampered: Callable[[Path], None]) -> None:
    chain = Chain(path, lambda: NOON)
    with chain.continuing(None) as last:
        last.append({"number": 3})
    tampered(path)
    before = path.read_bytes() if path.exists() else b""
    with pytest.raises(LedgerError), chain.continuing(last):
        pass
    assert (path.read_bytes() if path.exists() else b"") == before


def test_a_change_of_what_was_verified_is_found_by_the_next_who_reads_it(path: Path) -> None:
    """Who goes on does not look at it again: this is what that costs, and where it ends."""
    chain = Chain(path, lambda: NOON)
    with chain.continuing(None) as last:
        last.append({"number": 3})
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":9'))
    with chain.continuing(last) as again:
        again.append({"number": 4})
    for reads in (Chain(path).read, lambda: Chain(path).append({"number": 5})):
        with pytest.raises(LedgerError, match="line 2 of lines"):
            reads()
    with pytest.raises(LedgerError, match="line 2 of lines"), Chain(path).continuing(None):
        pass


def test_another_chain_in_its_place_is_read_from_its_beginning(path: Path, tmp_path: Path) -> None:
    chain, other = Chain(path, lambda: NOON), Chain(tmp_path / "other" / "lines.jsonl", lambda: NOON)
    with chain.continuing(None) as last:
        last.append({"number": 3})
    for number in (7, 8, 9):
        other.append({"number": number})
    for name in (path.name, "head.json"):
        path.with_name(name).write_bytes((tmp_path / "other" / name).read_bytes())
    with chain.continuing(last) as fresh:
        assert fresh is not last and [entry.body["number"] for entry in fresh.entries] == [7, 8, 9]


def test_threads_take_turns(path: Path) -> None:
    threads = [threading.Thread(target=lambda: [Chain(path).append({"number": 9}) for _ in range(10)]) for _ in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(path) == [0, 1, 2] + [9] * 30


APPENDER = """
import sys
from pathlib import Path
from typing import Any
from fedvoxel.records.chain import Chain
while True:
    print(Chain(Path(sys.argv[1])).append({"number": 5}).index, flush=True)
"""


def test_killed_processes_lose_nothing_that_they_were_told(path: Path) -> None:
    """Two processes append as fast as they can and are killed with kill -9; every index that was returned is there."""
    paths = os.environ | {"PYTHONPATH": str(ROOT / "app_custom")}
    command = [sys.executable, "-c", APPENDER, str(path)]
    told: list[int] = []
    for stop_after in (1, 5, 9):
        pair = [subprocess.Popen(command, env=paths, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        try:
            for process in pair:
                assert process.stdout is not None
                told += [int(process.stdout.readline()) for _ in range(stop_after)]
                process.kill()
        finally:
            for process in pair:
                process.kill()
                told += [
                    int(line) for line in process.communicate()[0].splitlines(keepends=True) if line.endswith("\n")
                ]
    indices = [entry.index for entry in Chain(path).read()]
    assert len(set(told)) == len(told)
    assert set(told) <= set(indices)
    assert Chain(path).append({"number": 6}).index == len(indices)


@pytest.mark.parametrize("at", ["NaN", "9999", "2026-03-02", "2026-03-02T09:30:00", "\ud800Z", 7, None])
def test_a_forged_time_is_refused_and_not_reckoned_with(tmp_path: Path, at: object) -> None:
    content = {"index": 0, "previous": FIRST, "at": at, "clock_behind_s": 0.0, "body": {}}
    line = json.dumps(content | {"hash": sha256_of(content) if at != "\ud800Z" else FIRST}, sort_keys=True)
    with pytest.raises(ValueError, match=r".*"):
        entry_of(json.dumps(json.loads(line), sort_keys=True, separators=(",", ":")).encode())
