"""Drives stock FLARE: its FedAvgRecipe with the Client API, in its simulator or on machines of their own.

The deployment has FLARE's own kits, mutual TLS, and the same way of submitting as ours; it is up beforehand.

    python -m benchmarks.peers.stock SETTING ANSWER
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.overhead.stock import make_recipe, simulate
from benchmarks.peers.machines import running_apart
from benchmarks.peers.setting import Answer, Setting, read_setting, write_answer
from fedvoxel.flare.session import flare_session, job_meta, submit
from fedvoxel.governance.consortium import load_consortium
from fedvoxel.updates.weights_file import load_weights, save_weights

_MODEL_FILE = "FL_global_model.pt"
_LOOK_S = 0.2
_SELDOM_S = 2.0


def main(setting_file: Path, answer_file: Path) -> None:
    """Runs the recipe from the common first model."""
    setting = read_setting(setting_file)
    folder = Path(setting.folder)
    first = {name: torch.from_numpy(array) for name, array in load_weights(Path(setting.initial)).items()}
    torch.save(first, folder / "initial.pt")
    recipe = make_recipe(setting_file, folder / "initial.pt")
    if "workspace" in setting.more:
        recipe.export(str(folder / "jobs"))
        answer = _deployed(setting, folder / "jobs" / recipe.name)
    else:
        submitted = time.time()
        seconds, model_file = simulate(recipe, list(setting.site_files), folder / "simulation")
        answer = Answer(submitted, model_file.stat().st_mtime, submitted + seconds)
        _keep(model_file, setting)
    write_answer(answer_file, answer)


def _deployed(setting: Setting, job: Path) -> Answer:
    """Submits the exported job; keeps every model that the server writes, since the last one goes with its run."""
    consortium = load_consortium(Path(setting.more["workspace"]))
    kit = consortium.kit(consortium.person("lead"))
    with running_apart(consortium), flare_session(kit) as session:
        submitted = time.time()
        job_id = submit(session, job)
        modelled = asked = 0.0
        while True:
            for file in (consortium.server_kit / job_id).rglob(_MODEL_FILE):
                if file.stat().st_mtime != modelled:
                    modelled = file.stat().st_mtime
                    _keep(file, setting)
            if time.time() - asked >= _SELDOM_S:
                asked = time.time()
                if str(job_meta(session, job_id).get("status")).startswith("FINISHED"):
                    return Answer(submitted, modelled, time.time())
            time.sleep(_LOOK_S)


def _keep(model_file: Path, setting: Setting) -> None:
    kept = torch.load(model_file, map_location="cpu", weights_only=True)["model"]
    save_weights(Path(setting.model), {name: np.asarray(array, dtype=np.float32) for name, array in kept.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
