"""Stock FLARE: `FedAvgRecipe` with the Client API in FLARE's simulator, the same hospitals and the same work.

Runs as a program of its own, since FLARE reads the command line of whoever imports its recipes. The clock runs over
`recipe.execute`. The simulator has no certificates and no scheduler, so this is stock FLARE at its fastest.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.hospitals import Hospitals
from benchmarks.parts import Values
from fedvoxel.errors import JobError
from fedvoxel.flare.kit_making import child_environment
from fedvoxel.records.atomic import write_json

_CLIENT = Path(__file__).with_name("stock_client.py")


def run_stock(hospitals: Hospitals, rounds: int, work: Path) -> Values:
    """Runs the recipe in a process of its own and returns its times.

    Raises:
        JobError: The recipe did not finish.
    """
    setting, answer = work / "setting.json", work / "answer.json"
    files = {site: str(path) for site, path in hospitals.site_files.items()}
    write_json(setting, {"task": hospitals.task.model_dump(mode="json"), "site_files": files, "rounds": rounds})
    answer.unlink(missing_ok=True)
    environment = child_environment({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
    environment["PYTHONPATH"] = f"{ROOT}:{environment['PYTHONPATH']}"
    with (work / "stock.log").open("w") as log:
        command = [sys.executable, "-m", "benchmarks.overhead.stock", str(setting), str(answer)]
        subprocess.run(command, cwd=work, env=environment, stdout=log, stderr=log, check=False)
    if not answer.is_file():
        raise JobError(f"stock FLARE did not finish; see {work / 'stock.log'}")
    values: Values = json.loads(answer.read_text())
    return values


def make_recipe(setting_file: Path, checkpoint: Path | None = None) -> Any:
    """Returns FLARE's own FedAvg of our network, with our work in its training script.

    Args:
        setting_file: JSON with `task`, `site_files` and `rounds`.
        checkpoint: The first model, as a `.pt` file; one of the recipe's own when None.
    """
    from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe

    setting = json.loads(setting_file.read_text())
    sites = list(setting["site_files"])
    return FedAvgRecipe(
        name="stock_fedavg",
        model=_model(setting["task"]),
        initial_ckpt=str(checkpoint) if checkpoint else None,
        min_clients=len(sites),
        num_rounds=setting["rounds"],
        train_script=str(_CLIENT),
        train_args=f"--setting {setting_file}",
    )


def simulate(recipe: Any, sites: Sequence[str], workspace: Path) -> tuple[float, Path]:
    """Runs the recipe in FLARE's simulator; returns its wall time in seconds and the file of its last model.

    Raises:
        JobError: The recipe left no model.
    """
    from nvflare.recipe import SimEnv

    environment = SimEnv(clients=list(sites), num_threads=len(sites), workspace_root=str(workspace))
    started = time.monotonic()
    run = recipe.execute(environment)
    seconds = time.monotonic() - started
    result = run.get_result()
    models = sorted(Path(result).rglob("FL_global_model.pt")) if result else []
    if not models:
        raise JobError("the recipe left no model")
    return seconds, models[0]


def _answer(setting_file: Path, answer: Path) -> None:
    sites = list(json.loads(setting_file.read_text())["site_files"])
    write_json(answer, {"seconds": simulate(make_recipe(setting_file), sites, answer.parent / "simulation")[0]})


def _model(task: dict[str, Any]) -> dict[str, Any]:
    network = task["training"]["network"]
    filled = {"spatial_dims": 3, "in_channels": 1, "out_channels": len(task["classes"]) + 1}
    return {"class_path": f"monai.networks.nets.{network['name']}", "args": filled | network["arguments"]}


if __name__ == "__main__":
    _answer(Path(sys.argv[1]), Path(sys.argv[2]))
