"""What is fuzzed: a reader of foreign input, what it may raise, and how one input's outcome is judged."""

import contextlib
import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hypothesis.strategies import SearchStrategy

from fedvoxel.errors import FedVoxelError

Kind = Literal["refused", "accepted", "crash", "hang", "memory", "escape"]
"""Refused in the way that its reader promises, accepted as it was harmless, or one of four faults."""

FAULTS: tuple[Kind, ...] = ("crash", "hang", "memory", "escape")

MOST_SECONDS = 20
"""CPU time after which an input counts as a hang."""

MOST_WAITING_S = 60
"""Wall time after which it does so too: an input that waits for what never comes uses none."""

MOST_BYTES = 512 * 2**20
"""Memory by which a process may grow with an input."""

Act = Callable[[Any, Path], None]
"""Reads one input; may use the folder."""


@dataclass(frozen=True)
class Target:
    """Is one reader under test.

    Attributes:
        name: Says what is read.
        group: The row of the issue's list that it belongs to.
        inputs: Makes its inputs.
        act: Reads one.
        refusals: What it may raise.
        bytes_origins: Valid inputs, for a reader of bytes: the coverage-guided fuzzer begins with them.
    """

    name: str
    group: str
    inputs: SearchStrategy[Any]
    act: Act
    refusals: tuple[type[BaseException], ...] = (FedVoxelError,)
    bytes_origins: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """Is what became of one input; `detail` says what went wrong."""

    kind: Kind
    detail: str = ""


class UnwantedError(AssertionError):
    """Says that a reader took an input in a way that it should not have."""


class _Hang(BaseException):
    """Ends an input that takes too long; no reader may catch it."""


@dataclass
class Guard:
    """Watches this process while it reads inputs: its time, its memory, and whatever it writes, starts or dials.

    Attributes:
        scratch: The one folder that may be written to; each input has a fresh folder in it.
        escapes: What the present input has done elsewhere.
    """

    scratch: Path
    escapes: list[str] = field(default_factory=list)
    _watching: bool = False

    def install(self) -> None:
        """Begins to watch; for the rest of the process, since Python lets nobody take an audit hook out."""
        sys.addaudithook(self._heard)
        signal.signal(signal.SIGPROF, self._too_long)
        signal.signal(signal.SIGALRM, self._too_long)

    def run(self, target: Target, case: Any) -> Outcome:
        """Has an input read, and judges what became of it."""
        folder = self._clean()
        before, self._watching = _peak_bytes(), True
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, MOST_WAITING_S)
        try:
            outcome = _judged(target, case, folder)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._watching = False
        escapes, self.escapes = self.escapes, []
        if escapes:
            return Outcome("escape", "; ".join(escapes[:5]))
        grown = _peak_bytes() - before
        if grown > MOST_BYTES and outcome.kind not in FAULTS:
            return Outcome("memory", f"grew by {grown / 2**20:.0f} MB")
        return outcome

    def _clean(self) -> Path:
        folder = self.scratch / "input"
        os.chdir(self.scratch)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        os.chdir(folder)
        return folder

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        if event in ("socket.connect", "socket.sendto", "os.system", "os.exec", "os.posix_spawn", "pickle.find_class"):
            self.escapes.append(event)
        elif event == "open":
            path, mode, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if writes or (isinstance(mode, str) and set(mode) & set("wax+")):
                self._wrote(event, path)
        elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "os.chown"):
            self._wrote(event, arguments[0])
        elif event in ("os.rename", "os.link", "os.symlink"):
            self._wrote(event, arguments[1], follows=False)

    def _wrote(self, event: str, path: Any, follows: bool = True) -> None:
        if isinstance(path, int):
            return
        named = Path(os.fsdecode(path))
        # What takes the place of a link does not go where that leads.
        place = Path(os.path.realpath(named)) if follows else Path(os.path.realpath(named.parent)) / named.name
        if place != Path(os.devnull) and not place.is_relative_to(self.scratch.resolve()):
            self.escapes.append(f"{event} {place}")

    def _too_long(self, *_: Any) -> None:
        raise _Hang


def _judged(target: Target, case: Any, folder: Path) -> Outcome:
    try:
        target.act(case, folder)
    except _Hang:
        return Outcome("hang", f"more than {MOST_SECONDS} s of CPU time, or {MOST_WAITING_S} s in all: {_last_lines()}")
    except target.refusals:
        return Outcome("refused")
    except MemoryError:
        return Outcome("memory", _last_lines())
    except KeyboardInterrupt:
        raise
    except BaseException:
        return Outcome("crash", _last_lines())
    return Outcome("accepted")


def _last_lines() -> str:
    return traceback.format_exc()[-3000:]


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextlib.contextmanager
def limited(most_bytes: int = 2 * MOST_BYTES) -> Iterator[None]:
    """Limits this process's memory to what it has and so much more, and the size of every file that it writes."""
    status = Path("/proc/self/statm").read_text(encoding="ascii").split()
    held = int(status[0]) * os.sysconf("SC_PAGE_SIZE")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
