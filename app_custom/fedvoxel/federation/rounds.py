"""The rounds of federated averaging as a plain state machine: replies in, next global model out. No clock, no disk.

A round opens with the current global model, takes each site's update as it arrives, and closes into the next model.
Sites validate the model that they were sent before they train on it, so the score of the model of round r arrives
with the updates of round r + 1 and costs no message of its own; the last model is scored by a separate task.

Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017,
Algorithm 1, with weights n_k = training cases; or, under a hospital-level mechanism, with uniform weights and noise
once on the sum (`round_sum`). What the server does with a round's mean after that is post-processing.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import TooFewError, UpdateError
from fedvoxel.federation.broadcast import Broadcast
from fedvoxel.federation.correction import ServerCorrection
from fedvoxel.federation.mean_dice import mean_dice
from fedvoxel.federation.new_sum import new_scale, new_sum
from fedvoxel.federation.outcome import ValidationScore
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.secure_sum import Scale, SecureSum, TotalSum
from fedvoxel.federation.selection_config import AllSites
from fedvoxel.federation.server_optimizer import ServerOptimizer
from fedvoxel.federation.snapshot import Snapshot, joined
from fedvoxel.updates.compression.config import READ_CODEC, finer
from fedvoxel.updates.correction import split_controls
from fedvoxel.updates.update import PUBLIC_WEIGHT, Arrays, Layout, Update, check_values, layout_of

if TYPE_CHECKING:
    from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
    from fedvoxel.privacy.shared_noise import SharedNoise

_PLAIN = ("round", "best_round", "best_score", "last_accepted", "_dropped")
"""What a snapshot takes of the rounds as it is."""


class Rounds:
    """Carries the global model from round to round and remembers the best one."""

    def __init__(
        self, config: RoundsConfig, initial: Arrays, mechanism: "HospitalMechanism | SharedNoise | None" = None
    ) -> None:
        """Starts at round 0 with `initial`, float32 arrays by name.

        Args:
            config: The run's rounds.
            initial: The first global model.
            mechanism: Does the server's part of a privacy section; None weighs updates by cases and adds no noise.

        Raises:
            UpdateError: `initial` is empty or holds values that no model should hold.
        """
        if not initial:
            raise UpdateError("an empty initial model: expected at least one array")
        check_values(initial)
        self.config = config
        self.model = {name: np.asarray(array, dtype=np.float32) for name, array in initial.items()}
        """What the sites hold and validate; with a codec on the way down it follows the exact model."""
        self._exact = self.model
        self.round = 0
        self.best_model: dict[str, NDArray[np.float32]] | None = None
        self.best_round: int | None = None
        self.best_score: float | None = None
        self.validation: list[dict[str, ValidationScore]] = []
        self._dropped = 0
        self._mechanism = mechanism
        self._optimizer = ServerOptimizer(config.server_optimizer)
        self._correction = ServerCorrection(config.correction, self.model) if config.correction else None
        self.up, self.down = config.compression.up, config.compression.down
        self.broadcast = Broadcast(self._outgoing(), self.down)
        self._layout = layout_of(self.broadcast.held)
        self.scale = new_scale(config, self._layout, mechanism)
        """Ring and steps of a round of secure aggregation."""
        self.last_accepted: dict[str, int] = {}
        """The last committed round that each site's update went into."""
        self._open_round()

    def add(self, site: str, update: Update) -> None:
        """Adds one site's update to the open round.

        Raises:
            UpdateError: The site has replied already, or the update is not acceptable; the round goes on without it.
        """
        if site in self._replied:
            raise UpdateError("a second update in one round")
        self._sum.add(update)
        self._replied[site] = update.case_count

    def add_sum(
        self, whole: Mapping[str, NDArray[np.int64]], steps: Mapping[str, float], cases: int, sites: Collection[str]
    ) -> None:
        """Adds what secure aggregation has added up; see `TotalSum.take`.

        Raises:
            UpdateError: It is no sum of what so many sites can have, or the run has no secure aggregation.
        """
        if not isinstance(self._sum, TotalSum):
            raise UpdateError("a sum of updates in a run without secure aggregation")
        self._sum.take(whole, steps, cases, sites)
        self._replied |= dict.fromkeys(sites, PUBLIC_WEIGHT)

    def add_validation(self, site: str, score: ValidationScore) -> None:
        """Takes a site's validation of the current global model, as `Vetting.weighed` lets it weigh."""
        self._scores[site] = score

    @property
    def outgoing(self) -> dict[str, NDArray[np.float32]]:
        """Are the arrays that the sites train on: the model, and what goes with a correction."""
        return self.broadcast.held

    @property
    def layout(self) -> Layout:
        """Is what a site's update has to look like."""
        return self._layout

    @property
    def accepted(self) -> int:
        """Is the number of updates accepted in the open round."""
        return self._sum.count

    @property
    def finished(self) -> bool:
        """Says whether the planned rounds are done."""
        return self.round >= self.config.num_rounds

    @property
    def out_of_patience(self) -> bool:
        """Says whether the score has not improved for `patience` rounds."""
        if self.config.patience is None or self.best_round is None:
            return False
        return len(self.validation) - 1 - self.best_round >= self.config.patience

    def close_round(self, commit: Callable[[], None] = lambda: None) -> None:
        """Turns the open round's updates into the next global model and opens the next round.

        Args:
            commit: Called when all is as it will be, before anybody gets the new model; where it raises, all is as it
                was before the round was opened: its updates are spent, and a sum that has got noise is never given out.

        Raises:
            TooFewError: Fewer than `min_sites` updates were accepted; the model stays as it was.
            UpdateError: What they make is no model that anybody should hold; the model stays as it was.
        """
        if self.accepted < self.config.min_sites:
            raise TooFewError(f"{self.accepted} of the {self.config.min_sites} sites that a round needs were accepted")
        with self._undone_where_it_fails():
            self._move_on()
            commit()

    def _move_on(self) -> None:
        if self.round > 0:
            self.score_model()
        step = self._sum.mean()
        if self._correction:
            step = self._correction.correct(step, self._replied)
        model = self._optimizer.step(self._exact, step)
        check_values(model)
        if self.scale and isinstance(self._sum, SecureSum):
            self.scale.note(self._sum.total)
        self._exact = model
        self.broadcast.publish(self._outgoing(), self.down)
        self.model = split_controls(self.broadcast.held)[0]
        self.last_accepted = self.last_accepted | dict.fromkeys(self._replied, self.round)
        self.round += 1
        self._open_round()

    def score_model(self) -> None:
        """Records the validation of the current model (that of round `len(validation)`) and keeps it if it is best."""
        self.validation.append(dict(self._scores))
        score = mean_dice(self._scores)
        if not isinstance(self.config.selection, AllSites) and not self.finished:
            return  # scored by some of the sites only, which is no comparison
        if score is not None and (self.best_score is None or score > self.best_score):
            self.best_score, self.best_round = score, len(self.validation) - 1
            self.best_model = self.model
        self._guard(score)

    def _guard(self, score: float | None) -> None:
        """Steps both codecs back once two scores in a row lie too far below the best."""
        most, best = self.config.compression.guard_dice, self.best_score
        if most is None or score is None or best is None:
            return
        self._dropped = self._dropped + 1 if score < best - most else 0
        if self._dropped == 2:
            self.up, self.down, self._dropped = finer(self.up), finer(self.down), 0

    @contextmanager
    def _undone_where_it_fails(self) -> Iterator[None]:
        before = self.snapshot()
        try:
            yield
        except BaseException:
            self.restore(before)
            raise

    @property
    def _parts(self) -> dict[str, ServerOptimizer | Broadcast | ServerCorrection | Scale]:
        more = {"correction": self._correction, "scale": self.scale}
        found: dict[str, ServerOptimizer | Broadcast | ServerCorrection | Scale]
        found = {name: part for name, part in more.items() if part}
        return found | {"optimizer": self._optimizer, "broadcast": self.broadcast}

    def _outgoing(self) -> dict[str, NDArray[np.float32]]:
        return self._correction.outgoing(self._exact) if self._correction else dict(self._exact)

    def _open_round(self) -> None:
        self._sum = new_sum(self.config, self._layout, self._mechanism)
        self._replied: dict[str, int] = {}
        self._scores: dict[str, ValidationScore] = {}

    def snapshot(self) -> Snapshot:
        """Returns all that the rounds to come depend on; what the open round has taken is not in it."""
        values = {name: getattr(self, name) for name in _PLAIN}
        values["validation"] = [{site: score.model_dump() for site, score in one.items()} for one in self.validation]
        values["codecs"] = [codec and codec.model_dump(mode="json") for codec in (self.up, self.down)]
        values["clip_norm"] = getattr(self._mechanism, "clip_norm", None)
        best = {"best": self.best_model} if self.best_model else {}
        own = Snapshot(values, {"model": self.model, "exact": self._exact} | best)
        return joined({"own": own} | {name: part.snapshot() for name, part in self._parts.items()})

    def restore(self, kept: Snapshot) -> None:
        """Takes a state of the same job's rounds back, and opens its next round."""
        own = kept.part("own")
        for name in _PLAIN:
            setattr(self, name, own.values[name])
        self.validation = [
            {site: ValidationScore(**score) for site, score in one.items()} for one in own.values["validation"]
        ]
        self.up, self.down = (codec and READ_CODEC.validate_python(codec) for codec in own.values["codecs"])
        if own.values["clip_norm"] is not None:
            cast("HospitalMechanism", self._mechanism).clip_norm = own.values["clip_norm"]
        self.model, self._exact = own.arrays["model"], own.arrays["exact"]
        self.best_model = own.arrays.get("best")
        for name, part in self._parts.items():
            part.restore(kept.part(name))
        self._open_round()
