"""A plain Flower project with FedVoxel's strategy and client app, run by `flwr run` over a SuperLink and SuperNodes."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from fedvoxel.updates.weights_file import load_weights
from tests.flower_apps import ROOT, needs_flower
from tests.ops.flower.test_client_app import first_model, hospital, task

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), needs_flower]

LOOPBACK = "127.0.0.1"
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "plain-app"
version = "1.0.0"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "consortium"

[tool.flwr.app.components]
serverapp = "plain_app.server_app:app"
clientapp = "plain_app.client_app:app"

[tool.flwr.app.config]
"""
CLIENT = """
from fedvoxel.ops.flower.client_app import client_app
from fedvoxel.training.setup import TrainingTask

app = client_app(TrainingTask.model_validate_json({task!r}))
"""
SERVER = """
from pathlib import Path
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.ops.flower.strategy import FedVoxelStrategy
from fedvoxel.training.networks import build_network, get_weights
from fedvoxel.training.setup import TrainingTask
from fedvoxel.updates.weights_file import save_weights

task = TrainingTask.model_validate_json({task!r})
app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    first = get_weights(build_network(task.training.network, 2, task.training.seed))
    strategy = FedVoxelStrategy(RoundsConfig(num_rounds=2, min_sites=2))
    result = strategy.run(grid, ArrayRecord({{name: Array(array) for name, array in first.items()}}))
    save_weights(Path({model!r}), {{name: array.numpy() for name, array in result.arrays.items()}})
"""


def write_project(folder: Path, model: Path) -> Path:
    (folder / "plain_app").mkdir(parents=True)
    said = task().model_dump_json()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "plain_app" / "__init__.py").write_text('"""A plain Flower project."""\n')
    (folder / "plain_app" / "client_app.py").write_text(CLIENT.format(task=said))
    (folder / "plain_app" / "server_app.py").write_text(SERVER.format(task=said, model=str(model)))
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    paths = [str(ROOT / "app_custom"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "FLWR_HOME": str(tmp_path / "home"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    }


@contextmanager
def running(log: Path, environment: dict[str, str], *command: str) -> Iterator[None]:
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 240.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.5)


def test_flwr_run_trains_two_hospitals_over_a_superlink(tmp_path: Path, environment: dict[str, str]) -> None:
    files = {site: hospital(tmp_path / site) for site in ("hospital-a", "hospital-b")}
    port, model = free_port(), tmp_path / "model.npz"
    project = write_project(tmp_path / "project", model)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "{LOOPBACK}:{port}"\ninsecure = true\n'
    )

    def flwr(*words: str) -> str:
        done = subprocess.run(["flwr", *words], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, port)) == 0

    def online() -> int:
        said = flwr("supernode", "list", "here", "--format", "json")
        return sum(node["status"] == "online" for node in json.loads(said[said.index("{") :])["nodes"])

    with ExitStack() as stack:
        link = ("flower-superlink", "--insecure", "--host", LOOPBACK, "--port", str(port))
        stack.enter_context(running(tmp_path / "link.log", environment, *link))
        wait_until(listens, "the SuperLink")
        for site, file in files.items():
            node = ("flower-supernode", "--insecure", "--superlink", f"{LOOPBACK}:{port}", "--host", LOOPBACK)
            told = f'site="{site}" site-file="{file}"'
            command = (*node, "--port", str(free_port()), "--node-config", told)
            stack.enter_context(running(tmp_path / f"{site}.log", environment, *command))
        wait_until(lambda: online() == 2, "both SuperNodes")
        flwr("run", str(project), "here", "--stream")
        wait_until(model.is_file, "the model")
    made, first = load_weights(model), first_model(task())
    assert {name: array.shape for name, array in made.items()} == {name: array.shape for name, array in first.items()}
    assert any(not np.array_equal(made[name], first[name]) for name in first)
    for site in files:
        (run,) = (tmp_path / site / "state" / "runs").glob("flower-*")
        assert (run / "patients" / "used.jsonl").is_file()
