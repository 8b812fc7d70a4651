"""Has a target's inputs read in a child process, and watches it: what breaks it breaks nothing else.

The child is a fork of this process, in which everything is imported already. It says in a pipe which input it begins
and what became of it; one that says nothing for too long is killed, and the input that it was at is a hang.
"""

import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.target import Guard, Kind, Outcome, Target, limited

MOST_SILENT_S = 300.0
"""Wall time after which a child that says nothing is killed; its own limit is in CPU time."""

Read = Callable[[Any], Outcome]


@dataclass
class Tally:
    """Counts outcomes, and keeps the faults."""

    counts: Counter[Kind] = field(default_factory=Counter)
    faults: list[dict[str, Any]] = field(default_factory=list)

    def add(self, number: int, kind: Kind, detail: str = "", shown: str = "") -> None:
        """Counts one outcome."""
        self.counts[kind] += 1
        if detail:
            self.faults.append({"number": number, "kind": kind, "detail": detail, "input": shown})

    @property
    def total(self) -> int:
        """Is the number of inputs."""
        return sum(self.counts.values())


def read_in_child(target: Target, number: int, count: int, guided: bool = False) -> Tally:
    """Has `count` inputs read that follow from the seed `number`; fewer where a target has no more."""
    place = Path(tempfile.mkdtemp(prefix="fedvoxel_fuzz_"))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_child(target, number, count, guided, place, writing)
    os.close(writing)
    tally = Tally()
    try:
        _follow(child, reading, tally)
    finally:
        os.close(reading)
        shutil.rmtree(place, ignore_errors=True)
    return tally


def _follow(child: int, reading: int, tally: Tally) -> None:
    """Reads what the child says until it ends, and counts the input that it ended at as the fault that it is."""
    begun, rest, silent = -1, b"", False
    while True:
        ready, _, _ = select.select([reading], [], [], MOST_SILENT_S)
        if not ready:
            silent = True
            os.kill(child, signal.SIGKILL)
        content = os.read(reading, 65536)
        *lines, rest = (rest + content).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "begins" in said:
                begun = said["begins"]
            else:
                tally.add(said["number"], said["kind"], said.get("detail", ""), said.get("input", ""))
                begun = -1
        if not content:
            break
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if silent:
        tally.add(begun, "hang", f"said nothing for {MOST_SILENT_S:.0f} s and was killed")
    elif code:
        tally.add(begun, "crash", f"the process ended with {code}")


def _be_child(target: Target, number: int, count: int, guided: bool, place: Path, pipe: int) -> None:
    code = 70
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        if not os.environ.get("FEDVOXEL_FUZZ_SHOW"):
            os.dup2(null, 2)
        scratch = place / "scratch"
        scratch.mkdir()
        tempfile.tempdir = str(scratch)
        os.environ |= {"TMPDIR": str(scratch), "HOME": str(scratch), "XDG_CONFIG_HOME": str(scratch)}
        os.environ["MPLCONFIGDIR"] = str(scratch)  # a suite that has named another folder would have it written there
        warnings.simplefilter("default")  # a suite that makes them errors would have each be a crash
        with os.fdopen(pipe, "w", buffering=1) as said:
            read = _reader(target, Guard(scratch), said)
            with limited():
                if guided:
                    read_guided(read, target, number, count, place)
                else:
                    read_drawn(read, target, number, count)
        code = 0
    except BaseException as error:
        code = error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 70
        if code:
            sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(code)


def read_drawn(read: Callable[[Any], Any], target: Target, number: int, count: int) -> None:
    """Hands inputs to `read` that hypothesis draws."""

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def drawn(case: Any) -> None:
        read(case)

    drawn()


def read_guided(read: Read, target: Target, number: int, count: int, place: Path) -> None:
    """Hands inputs to `read` that atheris makes, which looks at what our code does with them; ends the process."""
    import atheris

    origins = place / "origins"
    origins.mkdir()
    for index, content in enumerate(target.bytes_origins):
        (origins / str(index)).write_bytes(content)
    most = 2 * max(map(len, target.bytes_origins)) + 256
    options = [f"-runs={count}", f"-seed={number + 1}", f"-max_len={most}", "-timeout=0", "-rss_limit_mb=0"]
    atheris.Setup(["fuzz", *options, "-verbosity=0", str(origins)], lambda content: read(content) and None)
    atheris.Fuzz()


def _reader(target: Target, guard: Guard, said: Any) -> Read:
    number = -1
    guard.install()

    def read(case: Any) -> Outcome:
        nonlocal number
        number += 1
        said.write(json.dumps({"begins": number}) + "\n")
        outcome = guard.run(target, case)
        line = {"number": number, "kind": outcome.kind}
        if outcome.detail:
            line |= {"detail": outcome.detail, "input": repr(case)[:4000]}
        said.write(json.dumps(line) + "\n")
        return outcome

    return read


def timed(work: Callable[[], Tally]) -> tuple[Tally, float]:
    """Returns a tally and the seconds that it took."""
    started = time.monotonic()
    return work(), time.monotonic() - started
