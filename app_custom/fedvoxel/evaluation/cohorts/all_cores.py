"""Runs one function over many cases on all cores, each result in its order; a case's failure is its own result."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from fedvoxel.errors import CohortError

FEW = 4
"""So many cases are done faster in this process than others are started."""

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")


def on_all_cores(
    function: Callable[[JobT], ResultT], jobs: Sequence[JobT], progress: Callable[[int, int], None] | None = None
) -> Iterator[ResultT]:
    """Yields `function` of each job in order.

    Args:
        function: A function of a module, as another process must find it.
        jobs: What to do.
        progress: Called with (done, total) after each.

    Raises:
        CohortError: A process died, for instance for want of memory.
    """
    try:
        for done, result in enumerate(_results(function, jobs), start=1):
            if progress is not None:
                progress(done, len(jobs))
            yield result
    except BrokenProcessPool:
        raise CohortError(
            "a process that reads cases died, perhaps for want of memory; run it again, it goes on where it stopped"
        ) from None


def _results(function: Callable[[JobT], ResultT], jobs: Sequence[JobT]) -> Iterator[ResultT]:
    cores = min(len(os.sched_getaffinity(0)), len(jobs))
    if len(jobs) <= FEW or cores < 2:
        yield from map(function, jobs)
        return
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(function, jobs)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
