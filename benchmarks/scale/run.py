"""One run of the real controller over FLARE's real communicator with simulated sites, in this process."""

import itertools
import re
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nvflare.apis.client import Client
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.wf_comm_server import WFCommServer
from nvflare.apis.signal import Signal

from benchmarks.scale.sites import SimulatedSites, layout
from fedvoxel.errors import JobError
from fedvoxel.federation.aggregation import MAX_TOTAL_WEIGHT
from fedvoxel.federation.outcome import OUTCOME_FILE, load_outcome
from fedvoxel.flare.controller import FedAvgController

RUN_KEY = "benchmark_scale"
_JOB = "job"
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
_NOW = re.compile(r"VmRSS:\s+(\d+) kB")


@dataclass(frozen=True)
class Measured:
    """Is what one run took.

    Attributes:
        start_mib: Resident memory before the run, with everything imported.
        peak_mib: Peak resident memory over the process's life.
        round_cpu_s: Median processor seconds of a round, simulated sites included.
        outcome_bytes: Size of `outcome.json`.
    """

    start_mib: float
    peak_mib: float
    round_cpu_s: float
    outcome_bytes: int


class _Cell:
    def __init__(self) -> None:
        self.decode_pass_through_topics: set[tuple[str, str]] = set()

    def update_fobs_context(self, props: dict[str, Any]) -> None:
        """Fetches nothing: the sites are in this process."""


class Engine:
    """Is as much of FLARE's server engine as the controller and the communicator meet."""

    def __init__(self, folder: Path, sites: list[str]) -> None:
        """Keeps a run's files below `folder`."""
        self._folder = folder
        self._clients = [Client(site, site) for site in sites]
        self._cell = _Cell()
        self.panics: list[str] = []

    def get_cell(self) -> _Cell:
        """Returns what the controller prepares to fetch arrays with."""
        return self._cell

    def register_app_command(self, topic: str, answer: Any) -> None:
        """Takes what answers the parent process, which there is none of."""

    def get_clients(self) -> list[Client]:
        """Returns the sites."""
        return self._clients

    def get_workspace(self) -> "Engine":
        """Returns itself."""
        return self

    def get_root_dir(self) -> str:
        """Returns the server's kit."""
        return str(self._folder)

    def get_startup_kit_dir(self) -> str:
        """Returns where the server's certificate would be."""
        return str(self._folder / "startup")

    def get_app_dir(self, job_id: str) -> str:
        """Returns where the job's own files would be."""
        return str(self._folder / job_id / "app_server")

    def get_run_dir(self, job_id: str) -> str:
        """Returns the job's folder."""
        (self._folder / job_id).mkdir(exist_ok=True)
        return str(self._folder / job_id)

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Keeps why a run failed."""
        if event_type == EventType.FATAL_SYSTEM_ERROR:
            self.panics.append(str(fl_ctx.get_prop(FLContextKey.EVENT_DATA)))

    @contextmanager
    def new_context(self) -> Iterator[FLContext]:
        """Yields a context as FLARE makes one for each request."""
        yield self.context()

    def context(self) -> FLContext:
        """Returns such a context."""
        made = FLContext()
        made.set_prop(ReservedKey.ENGINE, self, private=True, sticky=False)
        made.set_prop(ReservedKey.RUN_NUM, _JOB, private=False, sticky=False)
        runner = SimpleNamespace(config=SimpleNamespace(task_request_interval=0.2))
        made.set_prop(FLContextKey.RUNNER, runner, private=True, sticky=False)
        return made


def run(sites: int, parameters: int, rounds: int, selection: dict[str, Any]) -> dict[str, Any]:
    """Runs `rounds` rounds with `sites` simulated sites and returns a `Measured` as JSON.

    Raises:
        JobError: The run did not finish with everybody who was asked.
    """
    names = [f"site-{index:05d}" for index in range(sites)]
    section = {"num_rounds": rounds, "min_sites": 2, "round_timeout_s": 3600, "selection": selection}
    section["max_cases_per_site"] = MAX_TOTAL_WEIGHT // sites
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Path(folder), names)
        controller = FedAvgController(section, RUN_KEY)
        communicator = WFCommServer(task_check_period=0.1)
        controller.set_communicator(communicator)
        simulated = SimulatedSites(names, layout(parameters), communicator)
        start_mib = _memory(_NOW)
        _drive(controller, communicator, simulated, engine)
        path = Path(folder) / _JOB / OUTCOME_FILE
        outcome = load_outcome(path)
        trouble = [
            *simulated.failures,
            *engine.panics,
            *(str(record.missing) for record in outcome.rounds if record.missing),
        ]
        if outcome.status != "finished" or trouble or any(record.refused for record in outcome.rounds):
            raise JobError(f"the run is no measurement: {outcome.status}, {outcome.reason}, {trouble[:1]}")
        measured = Measured(start_mib, _memory(_PEAK), _round_cpu_s(simulated, rounds), path.stat().st_size)
    return asdict(measured)


def _drive(controller: FedAvgController, communicator: WFCommServer, sites: SimulatedSites, engine: Engine) -> None:
    context = engine.context()
    communicator.initialize_run(context)
    controller.initialize(context)
    threads: list[threading.Thread] = sites.run(RUN_KEY, engine.context)
    try:
        controller.control_flow(Signal(), context)
    finally:
        sites.stop()
        communicator._all_done = True  # what FLARE's runner does, with much else that is not here
        for thread in threads:
            thread.join()


def _round_cpu_s(sites: SimulatedSites, rounds: int) -> float:
    starts = [*(sites.round_starts[index] for index in range(rounds)), sites.round_starts[-1]]
    return statistics.median(after - before for before, after in itertools.pairwise(starts))


def _memory(pattern: re.Pattern[str]) -> float:
    found = pattern.search(Path("/proc/self/status").read_text(encoding="utf-8"))
    return int(found.group(1)) / 1024 if found else 0.0
