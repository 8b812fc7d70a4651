"""Runs cases in processes of their own, each with bounds on memory and time: what a decoder does to one is one refusal.

A library that crashes, hangs or asks for all memory on a hostile file takes its own process with it and nothing else;
the process is replaced. Workers end with their parent, also when that is killed.
"""

import ctypes
import logging
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, Literal, TypeVar

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")
Failure = Literal["timed_out", "out_of_memory", "crashed", "unexpected_error"]

_PR_SET_PDEATHSIG = 1
_LEAK_FACTOR = 2
_SPAWN = multiprocessing.get_context("spawn")
_OUT_OF_MEMORY_SIGNAL = -signal.SIGKILL  # what the kernel does to a process when memory is short
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bounds:
    """Bounds one task.

    Attributes:
        memory_bytes: Address space that a task may take beside the libraries that its process has loaded.
        timeout_s: Seconds that it may take.
    """

    memory_bytes: int
    timeout_s: float


@dataclass(frozen=True)
class Failed:
    """Says that a task has no result.

    Attributes:
        detail: The kind of error or signal; never an error's text, which may quote a header.
    """

    failure: Failure
    detail: str


@dataclass(eq=False)
class _Worker(Generic[TaskT]):
    process: SpawnProcess
    pipe: "Connection[Any, Any]"
    task: TaskT | None = None
    deadline: float = field(default=float("inf"))


class WorkerPool(Generic[TaskT, ResultT]):
    """Runs a function over tasks in worker processes; leaving the block kills what still runs."""

    def __init__(self, run: Callable[[TaskT], ResultT], size: int, bounds: Bounds) -> None:
        self._run, self._size, self._bounds = run, size, bounds
        self._workers: list[_Worker[TaskT]] = []

    def __enter__(self) -> "WorkerPool[TaskT, ResultT]":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            self._kill(worker)
        self._workers.clear()

    @property
    def free(self) -> int:
        """Returns how many more tasks would begin at once."""
        return self._size - self.busy

    @property
    def busy(self) -> int:
        """Returns how many tasks run."""
        return sum(worker.task is not None for worker in self._workers)

    def begin(self, task: TaskT) -> None:
        """Starts a task; only while one is `free`."""
        worker = next((worker for worker in self._workers if worker.task is None), None) or self._start()
        worker.task, worker.deadline = task, time.monotonic() + self._bounds.timeout_s
        try:
            worker.pipe.send(task)
        except OSError:
            log.debug("a worker ended before its task")  # collected as crashed by `finished`

    def finished(self, patience_s: float) -> Iterator[tuple[TaskT, ResultT | Failed]]:
        """Yields the tasks that end within `patience_s`; waits for the first only."""
        running = [worker for worker in self._workers if worker.task is not None]
        nearest = min((worker.deadline for worker in running), default=0.0) - time.monotonic()
        ready = set(wait([worker.pipe for worker in running], max(0.0, min(patience_s, nearest))))
        for worker in running:
            task = worker.task
            if task is None:
                continue
            if worker.pipe in ready:
                yield task, self._collect(worker)
            elif time.monotonic() >= worker.deadline:
                self._drop(worker)
                yield task, Failed("timed_out", f"{self._bounds.timeout_s:g} s")

    def _collect(self, worker: _Worker[TaskT]) -> ResultT | Failed:
        try:
            result: ResultT | Failed = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(5)
            code = worker.process.exitcode
            self._drop(worker)
            return Failed("out_of_memory" if code == _OUT_OF_MEMORY_SIGNAL else "crashed", _signal_name(code))
        worker.task, worker.deadline = None, float("inf")
        if isinstance(result, Failed) and result.failure == "out_of_memory":
            self._drop(worker)  # what was allocated before is not given back
        return result

    def _start(self) -> _Worker[TaskT]:
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=_serve, args=(self._run, theirs, self._bounds, os.getpid()), daemon=True)
        resource_tracker.ensure_running()  # would start with the first process, and takes the mask off (Python 3.11)
        with _interrupt_deferred():
            process.start()
        theirs.close()
        worker: _Worker[TaskT] = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _drop(self, worker: _Worker[TaskT]) -> None:
        self._kill(worker)
        self._workers.remove(worker)

    @staticmethod
    def _kill(worker: _Worker[TaskT]) -> None:
        worker.process.kill()
        worker.process.join()
        worker.process.close()
        worker.pipe.close()


@contextmanager
def _interrupt_deferred() -> Iterator[None]:
    """Puts Ctrl-C off to the end of the block; a process started in it never hears one.

    A terminal sends it to every process. The mask is inherited; but it is this thread's only, and another thread may
    take the signal, on which Python would interrupt this one half-way: a worker that gets half its orders complains.
    """
    came: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number)) if in_main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if in_main:
            signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


def _serve(run: Callable[[Any], Any], pipe: "Connection[Any, Any]", bounds: Bounds, parent: int) -> None:
    """Is a worker's life: silence first, bounds second, then one task after the other."""
    from fedvoxel.dicom.quiet import hush

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    hush()
    _mute()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold a patient's data
    most = _address_space_bytes() + _LEAK_FACTOR * bounds.memory_bytes
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        # What earlier tasks left behind is not this one's: the outcome must not depend on who was before.
        resource.setrlimit(resource.RLIMIT_AS, (min(most, _address_space_bytes() + bounds.memory_bytes), most))
        pipe.send(_outcome(run, task))


def _mute() -> None:
    """Sends to nowhere what native decoders print: they quote what they read."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for terminal in (1, 2):
        os.dup2(nowhere, terminal)
    os.close(nowhere)


def _address_space_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[0]) * resource.getpagesize()


def _outcome(run: Callable[[Any], Any], task: Any) -> Any:
    try:
        return run(task)
    except MemoryError:
        return Failed("out_of_memory", "MemoryError")
    except Exception as error:  # the last line: whatever it is, it is one case's
        return Failed("unexpected_error", type(error).__name__)


def _signal_name(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"
