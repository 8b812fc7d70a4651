"""What the processes under test have told of themselves, as the harness reads it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.chaos.steps import ASKS, COMMITTED, TAKEN

Line = dict[str, Any]


@dataclass
class Trace:
    """Is the file that every process appends to, read from where it was left."""

    path: Path
    lines: list[Line] = field(default_factory=list)
    _read: int = 0

    def look(self) -> list[Line]:
        """Reads what is new and returns everything so far."""
        if self.path.is_file():
            with self.path.open("rb") as stream:
                stream.seek(self._read)
                content = stream.read()
            whole = content[: content.rfind(b"\n") + 1]
            self._read += len(whole)
            self.lines += [json.loads(line) for line in whole.splitlines()]
        return self.lines

    def of(self, step: str, since: int = 0) -> Iterator[Line]:
        """Yields the passes of a step, from line `since` on."""
        return (line for line in self.look()[since:] if line["step"] == step)


@dataclass(frozen=True)
class Committed:
    """Is a committed round as the server's process had it."""

    round: int
    model: str
    at: float
    sites: frozenset[str]


def committed_rounds(trace: Trace, since: int = 0) -> list[Committed]:
    """Returns the rounds that were committed since line `since` of the trace, in order."""
    found, taken = [], set[str]()
    for line in trace.look()[since:]:
        if line["step"] == ASKS:
            taken = set()
        elif line["step"] == TAKEN:
            taken.add(line["site"])
        elif line["step"] == COMMITTED and line["round"]:
            # Before the first round there is a model to commit, too. The state has gone on to the next round by then.
            found.append(Committed(line["round"] - 1, line["model"], line["at"], frozenset(taken)))
    return found


def lost_rounds(trace: Trace, since: int = 0) -> list[str]:
    """Returns what was committed and is not what the run goes on from, a sentence each."""
    said: list[str] = []
    last, asked = Committed(-1, "", 0.0, frozenset()), -1
    for line in trace.look()[since:]:
        if line["step"] == COMMITTED and line["round"]:
            last = Committed(line["round"] - 1, line["model"], line["at"], frozenset())
        elif line["step"] == ASKS:
            # A process may be killed after it has committed a round and before it tells.
            untold = line["round"] == asked + 1 > last.round + 1
            if line["round"] != last.round + 1 and not untold:
                said.append(f"round {last.round} was committed and the run went on with round {line['round']}")
            elif last.model and not untold and line["model"] != last.model:
                said.append(f"round {line['round']} began with another model than was committed")
            asked = line["round"]
    return said


def rounds_reached(trace: Trace, since: int = 0) -> int:
    """Returns how many rounds were committed: as told, or as the next round that was asked for shows."""
    told = [one.round + 1 for one in committed_rounds(trace, since)]
    return max([*told, *(line["round"] for line in trace.of(ASKS, since))], default=0)
