"""The rounds of federated averaging as a plain state machine: replies in, next global model out. No clock, no disk.

A round opens with the current global model, takes each site's update as it arrives, and closes into the next model.
Sites validate the model that they were sent before they train on it, so the score of the model of round r arrives
with the updates of round r + 1 and costs no message of its own; the last model is scored by a separate task.

Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017,
Algorithm 1, with weights n_k = training cases; or, under a hospital-level mechanism, with uniform weights and noise
once on the sum (`round_sum`). What the server does with a round's mean after that is post-processing.
"""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.broadcast import Broadcast
from fedvoxel.federation.correction import ServerCorrection
from fedvoxel.federation.new_sum import new_scale, new_sum
from fedvoxel.federation.outcome import ValidationScore
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.secure_sum import SecureSum, TotalSum
from fedvoxel.federation.selection_config import AllSites
from fedvoxel.federation.server_optimizer import ServerOptimizer
from fedvoxel.updates.compression.config import finer
from fedvoxel.updates.correction import split_controls
from fedvoxel.updates.update import PUBLIC_WEIGHT, Arrays, Layout, Update, check_case_count, check_values, layout_of

if TYPE_CHECKING:
    from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
    from fedvoxel.privacy.shared_noise import SharedNoise


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

    def read_validation(self, score: Any) -> ValidationScore:
        """Returns a site's validation score as it was sent, without taking it.

        Raises:
            UpdateError: The score is not a plausible number of cases with a Dice in [0, 1] by class, or the job asks
                for none.
        """
        if not self.config.evaluate:
            raise UpdateError("a validation score that nobody asked for: the job has evaluate false")
        try:
            read = parse_config(ValidationScore, score, "the validation score")
        except ConfigError as error:
            raise UpdateError(str(error)) from None
        if read.cases:
            check_case_count(read.cases, self.config.max_cases_per_site)
        return read

    def read_refused_cases(self, count: Any) -> int | None:
        """Returns how many of its cases a site says it could not use; None where it does not say.

        Raises:
            UpdateError: It is not a plausible number of cases.
        """
        most = self.config.max_cases_per_site
        if count is None:
            return None
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= most:
            raise UpdateError(f"absurd refused_cases: expected a number of cases between 0 and {most}, got {count!r}")
        return count

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

    def close_round(self, release: Callable[[Arrays], None] | None = None) -> None:
        """Turns the open round's updates into the next global model and opens the next round.

        Args:
            release: Called with the next model before it becomes `model`; where it raises, `model` stays as it was,
                and the round's sum is spent and never given out again.

        Raises:
            UpdateError: Fewer than `min_sites` updates were accepted; the model stays as it was.
        """
        if self.accepted < self.config.min_sites:
            raise UpdateError(f"{self.accepted} of the {self.config.min_sites} sites that a round needs were accepted")
        if self.round > 0:
            self.score_model()
        step = self._sum.mean()
        if self._correction:
            step = self._correction.correct(step, self._replied)
        model = self._optimizer.step(self._exact, step)
        check_values(model)
        if release:
            release(model)
        if self.scale and isinstance(self._sum, SecureSum):
            self.scale.note(self._sum.total)
        self._exact = model
        self.broadcast.publish(self._outgoing(), self.down)
        self.model = split_controls(self.broadcast.held)[0]
        self.last_accepted |= dict.fromkeys(self._replied, self.round)
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

    def _outgoing(self) -> dict[str, NDArray[np.float32]]:
        return self._correction.outgoing(self._exact) if self._correction else dict(self._exact)

    def _open_round(self) -> None:
        self._sum = new_sum(self.config, self._layout, self._mechanism)
        self._replied: dict[str, int] = {}
        self._scores: dict[str, ValidationScore] = {}


def mean_dice(scores: Mapping[str, ValidationScore]) -> float | None:
    """Returns the case-weighted mean over sites of the mean Dice over classes, or None without a score."""
    weighted = [(score.cases, _class_mean(score)) for score in scores.values() if score.cases]
    known = [(cases, mean) for cases, mean in weighted if mean is not None]
    if not known:
        return None
    return sum(cases * mean for cases, mean in known) / sum(cases for cases, _ in known)


def _class_mean(score: ValidationScore) -> float | None:
    known = [dice for dice in score.dice.values() if dice is not None]
    return sum(known) / len(known) if known else None
