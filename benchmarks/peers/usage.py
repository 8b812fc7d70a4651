"""What a system used over time: bytes over its devices, processor time and memory of all its processes."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Counter = Literal["sent_bytes", "line_bytes", "cpu_s", "machine_cpu_s"]


@dataclass(frozen=True)
class Sample:
    """Is what a system had used at one moment.

    Attributes:
        at: Seconds since 1970.
        sent_bytes: Bytes that the loopback device had carried until then, headers included; each packet once.
        line_bytes: Bytes that the hospitals' lines had carried until then, both ways, headers included.
        cpu_s: Processor time of all its processes until then, of ended ones as last seen.
        machine_cpu_s: Processor time of everything on the machine until then.
        memory_bytes: Proportional set size of all processes: a page that n of them share counts 1/n in each.
    """

    at: float
    sent_bytes: float
    line_bytes: float
    cpu_s: float
    machine_cpu_s: float
    memory_bytes: float


@dataclass(frozen=True)
class Usage:
    """Holds a system's samples, oldest first."""

    samples: Sequence[Sample]

    def used_between(self, counter: Counter, start: float, end: float) -> float:
        """Returns how far a counter went from `start` to `end`, in seconds since 1970, interpolated."""
        return self._at(counter, end) - self._at(counter, start)

    def peak_memory_between(self, start: float, end: float) -> float:
        """Returns the largest memory in bytes of the samples from `start` to `end`; 0 where there is none."""
        return max((one.memory_bytes for one in self.samples if start <= one.at <= end), default=0.0)

    def _at(self, counter: Counter, moment: float) -> float:
        counts: list[float] = [getattr(one, counter) for one in self.samples]
        index = bisect_left([one.at for one in self.samples], moment)
        if index in (0, len(self.samples)):
            return counts[min(index, len(counts) - 1)] if counts else 0.0
        start, end = self.samples[index - 1].at, self.samples[index].at
        return counts[index - 1] + (moment - start) / (end - start) * (counts[index] - counts[index - 1])
