"""Runs a job's rounds in one process, without FLARE: the same rounds, trainers and order of steps, site after site.

For a notebook or a benchmark where all hospitals' cases lie in one place. What comes out is what the job gives over
FLARE on the same machine; what it cannot show is anything of transport, absence or privacy.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import CohortError, ConfigError
from fedvoxel.evaluation.experiment import SiteCases
from fedvoxel.federation.outcome import RoundRecord, ValidationScore
from fedvoxel.federation.reply_values import read_validation
from fedvoxel.federation.round_codecs import codecs_of
from fedvoxel.federation.round_worth import RoundWorth
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.secure_sum import Scale
from fedvoxel.federation.selection import Selector
from fedvoxel.training.config import Ditto, FineTuned
from fedvoxel.training.local_steps import Progress
from fedvoxel.training.networks import build_network, get_weights
from fedvoxel.training.scoring import mean_dice_by_class
from fedvoxel.training.setup import TrainingTask
from fedvoxel.training.site_state import SiteState
from fedvoxel.training.site_trainer import use_compute
from fedvoxel.training.sum_codec import SumCodec
from fedvoxel.training.trainer import Trainer
from fedvoxel.training.update_codec import UpdateCodec
from fedvoxel.updates.compression.payload import decode
from fedvoxel.updates.scores import CaseScore
from fedvoxel.updates.secure.grid import size_of
from fedvoxel.updates.secure.masked import masked_bytes
from fedvoxel.updates.update import Arrays, Update
from fedvoxel.volumes.site import ComputeConfig

Sends = Callable[[Update, Rounds], Update]
"""Says what a site sends in the place of the update that it trained, in the open round."""


@dataclass(frozen=True)
class Simulation:
    """Is what a simulated run leaves.

    Attributes:
        model: The best validated model, or the last where none was validated: the one that is tested.
        best_round: The round of that model; None where none was validated.
        rounds: One record per round, as in a run's outcome; bytes are those of the arrays.
        test: Each site's scores of `model` on its unseen cases, with the site's own parameters where the job has any.
        personal: Likewise of each site's personal model; empty where the job has none.
        seconds: Wall time of all sites' work, one after the other.
    """

    model: dict[str, NDArray[np.float32]]
    best_round: int | None
    rounds: tuple[RoundRecord, ...]
    test: dict[str, tuple[CaseScore, ...]]
    personal: dict[str, tuple[CaseScore, ...]]
    seconds: float


def simulate(
    task: TrainingTask,
    config: RoundsConfig,
    sites: Mapping[str, SiteCases],
    compute: ComputeConfig,
    progress: Progress | None = None,
    sends: Mapping[str, Sends] | None = None,
) -> Simulation:
    """Trains as the job would and scores the tested model on every site's unseen cases.

    Args:
        task: What each site is told.
        config: What the server is told.
        sites: Cases by site; a site without training cases only evaluates.
        compute: Threads and device to use.
        progress: Told (rounds done, rounds, mean loss over sites) after every round.
        sends: Sites that send something else than what they trained; see `evaluation.planted`.

    Raises:
        ConfigError: The job protects somebody, which this does not do; its sections do not go together; or an evaluator
            or a sender is no site.
        CohortError: No site has a training case.
        UpdateError: Too few sites train for a round.
    """
    _check(task, sites, sends or {})
    started, device = time.monotonic(), use_compute(compute)
    with TemporaryDirectory(prefix="fedvoxel_") as folder:
        members = {name: _Member(task, name, cases, device, Path(folder)) for name, cases in sites.items()}
        for name, planted in (sends or {}).items():
            members[name].sends = planted
        network = build_network(task.training.network, len(task.classes) + 1, task.training.seed)
        rounds = Rounds(config, get_weights(network))
        records = _run(rounds, members, progress)
        model = dict(rounds.best_model or rounds.model)
        test = {name: member.score(model) for name, member in members.items()}
        personal = {name: member.score_personal(model) for name, member in members.items() if member.has_personal}
    return Simulation(model, rounds.best_round, records, test, personal, time.monotonic() - started)


def _check(task: TrainingTask, sites: Mapping[str, SiteCases], sends: Mapping[str, Sends]) -> None:
    if task.privacy:
        raise ConfigError("a simulation protects nobody: take the job's privacy section out, or submit the job")
    if not any(cases.training for cases in sites.values()):
        raise CohortError("no site has a training case")
    strangers = sorted(set(sends) - set(sites))
    if strangers:
        raise ConfigError(f"sends: expected sites of the run ({', '.join(sites)}), got {', '.join(strangers)}")


class _Member:
    """Is one site: its trainer, its cases, and a folder for what it keeps of its own."""

    def __init__(self, task: TrainingTask, name: str, cases: SiteCases, device: str, folder: Path) -> None:
        (folder / name).mkdir()
        state = SiteState(folder / name, task.cohort)
        self._codec = UpdateCodec(folder / name, task.cohort, name, task.training.seed)
        self._sums = SumCodec(folder / name, task.cohort, name, task.training.seed)
        self.trainer = Trainer(task.training, task.classes, cases.training, name, device, state)
        self._cases, self._name, self._task = cases, name, task
        self.sends: Sends = lambda update, rounds: update
        self.bytes_up, self.seconds = 0, 0.0
        """Bytes of the last update, and how long it took."""

    @property
    def has_personal(self) -> bool:
        return bool(self._task.training.personal and self.trainer.case_count)

    def validation(self, model: Arrays) -> dict[str, Any] | None:
        """Returns the scores of a model as a site sends them; None without a validation case."""
        if not self._cases.validation:
            return None
        scores = self.trainer.evaluate(model, self._cases.validation)
        return {"cases": len(scores), "dice": mean_dice_by_class(scores, self._task.classes)}

    def train(self, rounds: Rounds) -> Update:
        """Trains the open round, and the personal model beside it."""
        planned, accepted = rounds.config.num_rounds, rounds.last_accepted.get(self._name)
        started = time.monotonic()
        train = partial(self.trainer.train_round, rounds.outgoing, rounds.round, planned)
        update = self.sends(train(correction=rounds.config.correction, accepted=accepted), rounds)
        if rounds.up:
            payload = self._codec.encode(update.arrays, rounds.up, rounds.round, accepted)
            self.bytes_up = len(payload)
            update = replace(update, arrays=decode(payload, rounds.layout, rounds.up))
        else:
            self.bytes_up = sum(array.nbytes for array in update.arrays.values())
        self.seconds = time.monotonic() - started
        if self.has_personal and isinstance(self._task.training.personal, Ditto):
            self.trainer.train_personal(rounds.outgoing, rounds.round, planned)
        return update

    def part(self, rounds: Rounds, scale: Scale, update: Update, sites: int) -> Mapping[str, NDArray[np.int64]]:
        """Returns its part of a secure sum, and notes what a masked message of it takes."""
        grid, accepted = (scale.steps(sites), scale.ring.most(sites)), rounds.last_accepted.get(self._name)
        self.bytes_up = masked_bytes(scale.ring, size_of(rounds.layout))
        return self._sums.steps_of(update.arrays, update.case_count, grid, rounds.round, accepted)

    def score(self, model: Arrays) -> tuple[CaseScore, ...]:
        return tuple(self.trainer.evaluate(model, self._cases.test, surfaces=True))

    def score_personal(self, model: Arrays) -> tuple[CaseScore, ...]:
        if isinstance(self._task.training.personal, FineTuned):
            self.trainer.fine_tune(model)
        return tuple(self.trainer.evaluate_personal(self._cases.test, surfaces=True))


def _run(rounds: Rounds, members: Mapping[str, _Member], progress: Progress | None) -> tuple[RoundRecord, ...]:
    records = []
    selector = Selector(rounds.config.selection, members, rounds.config.min_sites)
    asked = rounds.config.contribution
    worth = RoundWorth(asked, rounds, list(members), partial(_evaluate, members)) if asked else None
    while not rounds.finished and not rounds.out_of_patience:
        records.append(_one_round(rounds, members, selector, worth))
        if progress:
            progress(rounds.round, rounds.config.num_rounds, mean(records[-1].loss.values()))
    if rounds.config.evaluate:
        _validate(rounds, members)
        rounds.score_model()
    for index, scores in enumerate(rounds.validation):
        records[index] = records[index].model_copy(update={"validation": scores})
    return tuple(records)


def _one_round(
    rounds: Rounds, everybody: Mapping[str, _Member], selector: Selector, worth: RoundWorth | None
) -> RoundRecord:
    """Validates, trains and closes a round as the sites and the server do."""
    started, index = time.monotonic(), rounds.round
    choice = selector.choose(index)
    members = {name: everybody[name] for name in choice.asked}
    if rounds.config.evaluate and index > 0:
        _validate(rounds, members)
    trained = {name: member.train(rounds) for name, member in members.items() if member.trainer.case_count}
    if rounds.scale:
        _add_up(rounds, rounds.scale, members, trained)
    for name, update in trained.items():
        if not rounds.scale:
            rounds.add(name, update)
        selector.note(name, index, update.case_count, update.metrics["loss"], members[name].seconds)
    record = RoundRecord(
        round=index,
        seconds=0.0,
        contributed={name: update.case_count for name, update in trained.items()},
        evaluation_only=tuple(sorted(members.keys() - trained.keys())),
        not_selected=dict(choice.left_out),
        loss={name: update.metrics["loss"] for name, update in trained.items()},
        codecs=codecs_of(rounds),
        bytes_up=sum(members[name].bytes_up for name in trained),
        bytes_down=len(members) * rounds.broadcast.size_bytes,
    )
    seconds = time.monotonic() - started
    contribution = worth.of(trained) if worth else None
    rounds.close_round()
    return record.model_copy(update={"seconds": seconds, "contribution": contribution})


def _add_up(rounds: Rounds, scale: Scale, members: Mapping[str, _Member], trained: Mapping[str, Update]) -> None:
    """Adds the sites' parts up as whole numbers, which is exactly what comes out of secure aggregation."""
    parts = [members[name].part(rounds, scale, update, len(trained)) for name, update in trained.items()]
    total = {name: np.sum([part[name] for part in parts], axis=0) for name in rounds.layout}
    cases = sum(update.case_count for update in trained.values())
    rounds.add_sum(total, scale.steps(len(trained)), cases, list(trained))


def _validate(rounds: Rounds, members: Mapping[str, _Member]) -> None:
    for name, member in members.items():
        score = member.validation(rounds.model)
        if score is not None:
            rounds.add_validation(name, read_validation(rounds.config, score))


def _evaluate(
    members: Mapping[str, _Member], model: Arrays, sites: list[str], receive: Callable[[str, ValidationScore], None]
) -> None:
    """Hands on each named site's scores of a model, as `flare.scoring` does."""
    for site in sites:
        score = members[site].validation(model)
        if score is not None:
            receive(site, ValidationScore.model_validate(score))
