"""Says how much processor time a measurement took, and how much other programs took meanwhile.

Programs share the cores by the number of their processes. Beside other work, a pool of two is slowed down more than a
federation of four trainers: ratios mean something on a quiet machine only.
"""

import resource
from collections.abc import Callable

import psutil

from benchmarks.parts import Values

QUIET = 0.1
"""Share of one core, over the length of a measurement, that others may use."""


def watched(run: Callable[[], Values]) -> Values:
    """Runs a measurement and adds `cpu_s`, its own processor time with all that it started, and `others_cpu_s`."""
    own_s, all_s = _own_s(), _all_s()
    values = run()
    cpu_s = _own_s() - own_s
    return values | {"cpu_s": cpu_s, "others_cpu_s": max(0.0, _all_s() - all_s - cpu_s)}


def _own_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _all_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0))
