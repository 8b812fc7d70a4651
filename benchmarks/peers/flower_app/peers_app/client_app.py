"""A hospital's part: the same `SiteWork` as in the other systems, kept for as long as the process lives.

Flower gives no promise that a hospital's next message comes to the same process, and its deployment engine starts one
for each message. So the optimiser's moments, which the job keeps from round to round, go through a file.
"""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from benchmarks.overhead.site_work import SiteWork
from benchmarks.peers.setting import Setting, read_setting
from fedvoxel.training.setup import TrainingTask

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Does a round's work, and after the last one the final scoring, as the stock FLARE client does."""
    file = str(context.run_config["setting"])
    setting = _setting(file)
    site = _site(context, setting)
    work = _work(file, site)
    moments = Path(setting.folder) / f"moments-{site}.pt"
    index = int(message.content["config"]["server-round"]) - 1
    if index:
        _restore(work, moments)
    model = {name: array.numpy() for name, array in message.content["arrays"].items()}
    update = work.train(model, index, setting.rounds)
    torch.save([part.state_dict() for part in _parts(work)], moments)
    weights = work.trainer.weights()
    if index == setting.rounds - 1:
        work.score(weights)
    metrics = MetricRecord({"loss": float(update.metrics["loss"]), "num-examples": update.case_count})
    arrays = ArrayRecord({name: Array(array) for name, array in weights.items()})
    return Message(content=RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


def _site(context: Context, setting: Setting) -> str:
    """Returns the hospital's name: told to a SuperNode, or the virtual node's place in the list."""
    told = context.node_config.get("site")
    return str(told) if told else list(setting.site_files)[int(context.node_config["partition-id"])]


@cache
def _setting(file: str) -> Setting:
    return read_setting(Path(file))


@cache
def _work(file: str, site: str) -> SiteWork:
    setting = _setting(file)
    return SiteWork(TrainingTask.model_validate(setting.task), site, Path(setting.site_files[site]))


def _restore(work: SiteWork, moments: Path) -> None:
    for part, state in zip(_parts(work), torch.load(moments, weights_only=True), strict=True):
        part.load_state_dict(state)


def _parts(work: SiteWork) -> list[Any]:
    """Returns the optimisers that hold moments: MuonAdamW is two in one."""
    optimizer = work.trainer._optimizer
    return list(getattr(optimizer, "_parts", [optimizer]))
