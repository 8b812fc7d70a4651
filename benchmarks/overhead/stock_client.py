"""The training script that stock FLARE runs at each site: its Client API around `SiteWork`.

Stock FedAvg has no final evaluation, so the script does the same amount of it on its own last model before it replies.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import nvflare.client as flare
import torch

from benchmarks.overhead.site_work import SiteWork
from fedvoxel.training.setup import TrainingTask


def main() -> None:
    """Answers every round of the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--setting", type=Path, required=True)
    setting = json.loads(parser.parse_args().setting.read_text())
    flare.init()
    site = flare.get_site_name()
    work = SiteWork(TrainingTask.model_validate(setting["task"]), site, Path(setting["site_files"][site]))
    while flare.is_running():
        received = flare.receive()
        if received is None:
            break
        model = {name: np.asarray(array, dtype=np.float32) for name, array in received.params.items()}
        update = work.train(model, received.current_round, setting["rounds"])
        weights = work.trainer.weights()
        if received.current_round == setting["rounds"] - 1:
            work.score(weights)
        meta = {"NUM_STEPS_CURRENT_ROUND": update.case_count}
        # The recipe's aggregator leaves out, with no more than a warning, whatever is no tensor.
        params = {name: torch.from_numpy(array) for name, array in weights.items()}
        flare.send(flare.FLModel(params=params, metrics={"loss": update.metrics["loss"]}, meta=meta))


if __name__ == "__main__":
    main()
