"""The plain reference: two worker processes that share the hospitals' work, and a numpy mean in the parent.

No server, no certificates, no messages but pickled arrays over pipes, no recovery from anything. Each worker keeps
its hospitals' cases; the hospitals are dealt out so that the two have as equal a number of training cases as can be.
"""

import itertools
import multiprocessing
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.hospitals import Hospitals
from benchmarks.parts import Values
from fedvoxel.training.setup import TrainingTask
from fedvoxel.updates.update import Arrays, Update


def run_pool(hospitals: Hospitals, rounds: int) -> Values:
    """Trains and scores in two processes; `seconds` counts from before they are started, `ready_s` of it is start."""
    started = time.monotonic()
    with _workers(hospitals) as connections:
        cases = [connection.recv() for connection in connections]
        ready_s = time.monotonic() - started
        model = _ask(connections[:1], "weights")[0]
        for index in range(rounds):
            updates = [update for answer in _ask(connections, "train", model, index, rounds) for update in answer]
            model = _average(model, updates)
        dice = [value for answer in _ask(connections, "score", model) for value in answer]
        seconds = time.monotonic() - started
    return {"seconds": seconds, "ready_s": ready_s, "test_dice": float(np.mean(dice)), "training_cases": sum(cases)}


def deal(weights: Mapping[str, int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Deals names into two groups whose sums of weights differ as little as possible."""
    names, total = sorted(weights), sum(weights.values())
    groups = itertools.chain.from_iterable(itertools.combinations(names, size) for size in range(len(names) + 1))
    best = min(groups, key=lambda group: abs(total - 2 * sum(weights[name] for name in group)))
    return best, tuple(name for name in names if name not in best)


@contextmanager
def _workers(hospitals: Hospitals) -> Iterator[list[Connection]]:
    context = multiprocessing.get_context("spawn")
    sizes = {site: _listed_cases(path) for site, path in hospitals.site_files.items()}
    processes, connections = [], []
    try:
        for sites in deal(sizes):
            ours, theirs = context.Pipe()
            files = {site: str(hospitals.site_files[site]) for site in sites}
            arguments = (theirs, hospitals.task.model_dump(mode="json"), files)
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            connections.append(ours)
        yield connections
    finally:
        for connection in connections:
            connection.close()
        for process in processes:
            process.join()


def _listed_cases(site_file: Path) -> int:
    """Counts a hospital's training cases without reading a scan."""
    from fedvoxel.volumes.layouts import list_cases
    from fedvoxel.volumes.site import load_site_config
    from fedvoxel.volumes.split import split_of

    cohort = load_site_config(site_file).cohort("hippocampus")
    listed = list_cases(cohort, site_file.parent)
    return sum(split_of(files.patient, cohort.split) == "training" for files in listed)


def _work(connection: Connection, task: dict[str, Any], files: Mapping[str, str]) -> None:
    """Is the loop of one worker process."""
    from benchmarks.overhead.site_work import SiteWork

    warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
    parsed = TrainingTask.model_validate(task)
    works = [SiteWork(parsed, site, Path(path)) for site, path in files.items()]
    connection.send(sum(work.trainer.case_count for work in works))
    while True:
        try:
            command, *arguments = connection.recv()
        except EOFError:
            return
        if command == "weights":
            connection.send(works[0].trainer.weights())
        elif command == "train":
            connection.send([work.train(*arguments) for work in works])
        else:
            connection.send([dice for work in works for dice in work.score(*arguments)])


def _ask(connections: Sequence[Connection], *command: Any) -> list[Any]:
    for connection in connections:
        connection.send(command)
    return [connection.recv() for connection in connections]


def _average(model: Arrays, updates: Sequence[Update]) -> dict[str, NDArray[np.float32]]:
    total = sum(update.case_count for update in updates)
    return {
        name: (array + sum(update.arrays[name] * (update.case_count / total) for update in updates)).astype(np.float32)
        for name, array in model.items()
    }
