"""FedVoxel's trainer as a ClientApp of plain Flower. Loads only where Flower is installed (the extra `flower`).

It answers with differences, and goes with `FedVoxelStrategy`. Flower sends the text of an error to the server: the text
of FedVoxel's own errors names no patient, and of any other error only the type is told.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedvoxel.errors import ConfigError, FedVoxelError, TrainingError
from fedvoxel.evaluation.case_table import read_scores
from fedvoxel.evaluation.summary import summarise
from fedvoxel.governance.incidents.switches import check_not_halted
from fedvoxel.ops.flower.strategy import DICE
from fedvoxel.privacy.policy import NoBudget, PublicCohort, load_privacy_policy
from fedvoxel.training import messages
from fedvoxel.training.flower_reply import ARRAYS, CASES, LOSS, METRICS, UPDATE
from fedvoxel.training.setup import TrainerSetup, TrainingTask

_KEPT_AT_SITES = ("site_local", "personal")


@dataclass(frozen=True)
class Place:
    """Says which hospital a node is.

    Attributes:
        site: Its name, which seeds its own order of samples.
        site_file: Its `local/fedvoxel_site.json`, with its privacy policy beside it.
    """

    site: str
    site_file: Path


def told_to_the_node(context: Context) -> Place:
    """Returns the place that a SuperNode was started with: `--node-config 'site="..." site-file="..."'`.

    Raises:
        ConfigError: It was started without.
    """
    told = context.node_config
    if "site" not in told or "site-file" not in told:
        raise ConfigError("expected site and site-file in the SuperNode's --node-config")
    return Place(str(told["site"]), Path(str(told["site-file"])))


def client_app(task: TrainingTask, place_of: Callable[[Context], Place] = told_to_the_node) -> ClientApp:
    """Returns a ClientApp that trains and scores as a FedVoxel site does, on the cohort that `task` names.

    Args:
        task: What a FedVoxel job would ask for.
        place_of: Finds a node's place.

    Raises:
        ConfigError: The task has a privacy section, which nobody would account for here, or names another app, or asks
            for what a site keeps by what the server says that it has accepted, which Flower's does not say.
    """
    training = task.training
    ours = {"privacy": task.privacy, "training.flower": training.flower}
    for key, asked in (ours | {f"training.{name}": getattr(training, name) for name in _KEPT_AT_SITES}).items():
        if asked is not None:
            raise ConfigError(f"{key}: belongs to a FedVoxel job; in plain Flower write null")
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _answered(lambda: _trained(message, context, task, place_of(context)), message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return _answered(lambda: _scored(message, context, task, place_of(context)), message)

    return app


def _answered(work: Callable[[], RecordDict], message: Message) -> Message:
    try:
        return Message(content=work(), reply_to=message)
    except FedVoxelError:
        raise
    except Exception as error:
        raise TrainingError(f"unexpected {type(error).__name__} at this node") from None


def _trained(message: Message, context: Context, task: TrainingTask, place: Place) -> RecordDict:
    folder, told = _folder(context, task, place), message.content["config"]
    if "num-rounds" not in told:
        raise ConfigError("expected num-rounds in the message: this app goes with FedVoxelStrategy, which tells it")
    rounds = {"round": int(told["server-round"]) - 1, "num_rounds": int(told["num-rounds"])}
    command = {"command": "train", "validate": False, "correction": None, "accepted": None, **rounds}
    answer = _ask(task, place, folder, command | {"keep_as": str(folder / "local_model.npz")}, message)
    if not answer.arrays:
        raise TrainingError("this site has no training case; it can only evaluate")
    update = ArrayRecord({name: Array(array) for name, array in answer.arrays.items()})
    metrics = MetricRecord({CASES: int(answer.header["case_count"]), LOSS: float(answer.header["loss"])})
    return RecordDict({UPDATE: update, METRICS: metrics})


def _scored(message: Message, context: Context, task: TrainingTask, place: Place) -> RecordDict:
    command = {"command": "evaluate", "split": "validation"}
    answer = _ask(task, place, _folder(context, task, place), command, message)
    summary = summarise(read_scores(answer.header["scores"]))
    dice = {DICE + name: score.dice_mean for name, score in summary.classes.items() if score.dice_mean is not None}
    return RecordDict({METRICS: MetricRecord({CASES: summary.cases, **dice})})


def _folder(context: Context, task: TrainingTask, place: Place) -> Path:
    """Returns the run's folder in the hospital's state, once it is clear that the hospital lets the cohort be used."""
    local = place.site_file.resolve().parent
    check_not_halted(local.parent / "state")
    entry = load_privacy_policy(local).of(task.cohort)
    if not (isinstance(entry, PublicCohort) or (isinstance(entry, NoBudget) and entry.in_sums is None)):
        raise ConfigError(
            f"this hospital protects cohort {task.cohort!r}, and plain Flower has neither ledger nor filter: run it "
            "as a FedVoxel job"
        )
    folder = local.parent / "state" / "runs" / f"flower-{context.run_id}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _ask(task: TrainingTask, place: Place, folder: Path, command: dict[str, Any], message: Message) -> messages.Message:
    from fedvoxel.training.site_trainer import SiteTrainer

    setup = TrainerSetup(task=task, site=place.site, site_file=str(place.site_file.resolve()), state_folder=str(folder))
    model = {name: array.numpy() for name, array in message.content[ARRAYS].items()}
    # Flower promises no process that lives from message to message; moments are in the run's folder.
    return SiteTrainer(setup).answer(messages.Message(command, model), lambda step, steps, loss: None)
