"""The systems: how each is prepared and started, and one measurement of one of them."""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ROOT, WORK
from benchmarks.hospitals import JOB, Hospitals
from benchmarks.parts import Values
from benchmarks.peers.alone import run_alone
from benchmarks.peers.flower_kit import SWITCHES, flower_python, make_keys
from benchmarks.peers.machines import make_stock_consortium
from benchmarks.peers.scoring import Scoring
from benchmarks.peers.setting import Setting, read_answer
from benchmarks.peers.usage import Counter
from fedvoxel.errors import JobError
from fedvoxel.flare.job_kinds import understand, variant
from fedvoxel.flare.kit_making import child_environment
from fedvoxel.governance.consortium import save_consortium
from fedvoxel.governance.job_folder import read_job_folder, write_job_folder
from fedvoxel.updates.weights_file import load_weights

SYSTEMS = {
    "ours": "FedVoxel",
    "compressed": "compressed FedVoxel",
    "stock_deployment": "deployed stock FLARE",
    "stock_simulation": "stock FLARE's simulator",
    "flower_simulation": "Flower's simulation engine",
    "flower_deployment": "Flower's deployment engine",
}
JOBS = {"ours": JOB, "compressed": ROOT / "jobs" / "hippocampus_compressed"}
STOCK_PORT = 30413
TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Bench:
    """Is what all measurements share.

    Attributes:
        work: The benchmark's own folder.
        rounds: Rounds of training.
        scoring: Scores the last models.
    """

    work: Path
    hospitals: Hospitals
    rounds: int
    scoring: Scoring

    @property
    def initial(self) -> Path:
        """Is the file of the common first model."""
        return self.work / "initial.npz"

    @property
    def model_bytes(self) -> int:
        """Is what the model's arrays alone weigh."""
        return sum(array.nbytes for array in load_weights(self.initial).values())


def measure(bench: Bench, system: str, repetition: int) -> Values:
    """Runs one system once, alone in its namespace, and returns what it took and how good its model is.

    Raises:
        JobError: The system could not be prepared, failed, or did not end in time.
    """
    folder = bench.work / system
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    python = flower_python(WORK / "flower-venv") if system.startswith("flower") else Path(sys.executable)
    setting = Setting(
        task=bench.hospitals.task.model_dump(mode="json"),
        site_files={site: str(file) for site, file in bench.hospitals.site_files.items()},
        rounds=bench.rounds,
        initial=str(bench.initial),
        model=str(folder / "model.npz"),
        folder=str(folder),
        more=_more(bench, system, folder, f"benchmark_peers_{system}_{repetition}"),
    )
    load = os.getloadavg()[0]
    values = _run(setting, system, python)
    check_trained(bench.initial, Path(setting.model))
    return values | {"dice": bench.scoring.dice(Path(setting.model)), "load_before": load}


def check_trained(initial: Path, model: Path) -> None:
    """Checks that a run has changed its model: a framework may leave out every update with no more than a warning.

    Raises:
        JobError: The last model is the first one.
    """
    before, after = load_weights(initial), load_weights(model)
    if all(np.array_equal(before[name], after[name]) for name in before):
        raise JobError("the last model is the first one: no update was averaged")


def _more(bench: Bench, system: str, folder: Path, run_key: str) -> dict[str, Any]:
    """Prepares what only this system needs, and says where it is."""
    consortium = bench.hospitals.consortium
    if system in JOBS:
        changes = {"rounds.num_rounds": bench.rounds, "run_key": run_key}
        write_job_folder(variant(understand(read_job_folder(JOBS[system])), changes).folder, folder / "job")
        return {"workspace": str(consortium.workspace), "job": str(folder / "job"), "run_key": run_key}
    if system == "stock_simulation":
        return {}
    if system == "stock_deployment":
        save_consortium(make_stock_consortium(folder, STOCK_PORT))
        return {"workspace": str(folder)}
    make_keys(folder / "keys", consortium.sites)
    engine = system.removeprefix("flower_")
    return {"engine": engine, "certificates": str(folder / "keys"), "flower_home": str(folder / "flower")}


def _run(setting: Setting, system: str, python: Path) -> Values:
    driver = "ours" if system in JOBS else system.split("_")[0]
    answer_file = Path(setting.folder) / "answer.json"
    command = [str(python), "-m", f"benchmarks.peers.{driver}", str(setting.write()), str(answer_file)]
    # Ray's sockets lie in its temporary folder, and a socket's path has 107 letters at most.
    with tempfile.TemporaryDirectory(prefix="peers-", dir="/tmp") as short:
        environment = _environment(python, setting.more.get("flower_home"), short)
        usage = run_alone(command, Path(setting.folder), environment, TIMEOUT_S)
    answer = read_answer(answer_file)
    counters: dict[str, Counter] = {"line_bytes": "line_bytes", "inner_bytes": "sent_bytes", "cpu_s": "cpu_s"}
    values = {name: usage.used_between(one, answer.submitted, answer.finished) for name, one in counters.items()}
    others_s = usage.used_between("machine_cpu_s", answer.submitted, answer.finished) - values["cpu_s"]
    return values | {
        "model_s": answer.modelled - answer.submitted,
        "finished_s": answer.finished - answer.submitted,
        "others_cpu_s": max(0.0, others_s),
        "peak_bytes": usage.peak_memory_between(answer.submitted, answer.finished),
    }


def _environment(python: Path, flower_home: str | None, short: str) -> Mapping[str, str]:
    environment = child_environment()
    environment["PYTHONPATH"] = f"{ROOT}:{environment['PYTHONPATH']}"
    if flower_home:
        environment |= SWITCHES | {"FLWR_HOME": flower_home, "RAY_TMPDIR": short}
        environment["PATH"] = f"{python.parent}:{environment['PATH']}"
    return environment
