"""Trains and evaluates one network on one site's cases: what a site does in a round, without any federation.

The same class trains a site's part of a round, a site alone, and all sites' cases pooled, so that the comparison
between them compares nothing else. Everything is reproducible from the configuration's seed on the same machine.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fedvoxel.errors import ConfigError, TrainingError
from fedvoxel.training.config import Ditto, FineTuned, TrainingConfig, check_goes_with_correction
from fedvoxel.training.gradient_term import GradientTerm
from fedvoxel.training.local_correction import LocalCorrection
from fedvoxel.training.local_steps import LocalSteps, Progress
from fedvoxel.training.networks import build_optimizer, names_like, trained_parameters
from fedvoxel.training.resumption import KeptMoments, RoundCheckpoint
from fedvoxel.training.samples import Samples
from fedvoxel.training.segmenter import Segmenter
from fedvoxel.training.site_state import SiteState
from fedvoxel.updates.correction import FedDyn, Scaffold, split_controls, with_controls
from fedvoxel.updates.scores import CaseScore
from fedvoxel.updates.update import Arrays, Update
from fedvoxel.updates.weights_file import load_weights, save_weights
from fedvoxel.volumes.plan import PreparedCase


class Trainer:
    """Holds the network, the optimiser and its moments, and the training samples of one site."""

    def __init__(
        self,
        config: TrainingConfig,
        classes: Sequence[str],
        cases: Sequence[PreparedCase],
        site: str,
        device: str,
        state: SiteState | None = None,
    ) -> None:
        """Builds everything that lives through all rounds.

        Args:
            config: The job's training section.
            classes: Class names; label code 1 + index, 0 background.
            cases: Training cases; empty at a site that only evaluates.
            site: Seeds the site's own order of samples.
            device: `cpu` or `cuda`.
            state: What the site keeps of its own; None where nothing of the kind is asked for.

        Raises:
            ConfigError: The network, loss or optimiser cannot be built as described, or a pattern names no parameter.
        """
        self.config, self.classes = config, tuple(classes)
        self._segmenter = Segmenter(config, classes, device)
        self._network, self._device = self._segmenter.network, self._segmenter.device
        self._trained = trained_parameters(self._network)
        self._site_local = names_like(config.site_local or (), list(self.weights()), "site_local")
        self._optimizer = self._new_optimizer()
        ditto = config.personal if isinstance(config.personal, Ditto) else None
        self._personal_optimizer = self._new_optimizer() if ditto else None
        self._state = state
        self._samples = Samples(config, cases, site)
        kept = state if config.optimizer.keep_state else None
        self._moments = KeptMoments(kept) if kept else None
        self._personal_moments = KeptMoments(kept, "personal_moments") if kept else None
        self._checkpoint = RoundCheckpoint(state.checkpoint_file) if state else None
        self._steps = LocalSteps(config, self._segmenter, self._trained, self._samples, checkpoint=self._checkpoint)
        self._personal_steps = self._local_steps(config, ditto.steps_per_round) if ditto else None

    @property
    def case_count(self) -> int:
        """Is the number of training cases."""
        return self._samples.case_count

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Returns a copy of the current weights; before any training, the initial ones drawn from the seed."""
        return self._segmenter.weights()

    def train_round(
        self,
        model: Arrays,
        round_index: int,
        num_rounds: int,
        progress: Progress | None = None,
        correction: Scaffold | FedDyn | None = None,
        accepted: int | None = None,
    ) -> Update:
        """Trains from `model` for one round and returns the difference.

        Args:
            model: Global weights at the start of the round, with SCAFFOLD the server's control variates beside them.
            round_index: 0-based round.
            num_rounds: Planned rounds, over which the learning-rate schedule runs.
            progress: Told after every step.
            correction: The rule that the server has named for this round.
            accepted: The last round in which the server accepted this site's update.

        Raises:
            TrainingError: There is no training case, or the loss is not finite.
            ConfigError: `model` does not fit the network, or the rule does not go with the training section.
        """
        self._require_cases()
        if correction:
            check_goes_with_correction(self.config)
        shared, controls = split_controls(model)
        kept = self._own_state.begin(accepted) if correction or self._keeps_own else {}
        self._segmenter.load(self._with_own(shared, kept))
        self._optimizer = self._begun(self._optimizer, self._moments, round_index)
        if self._checkpoint:
            named = correction.model_dump(mode="json") if correction else None
            self._checkpoint.open(model, round=round_index, of=num_rounds, correction=named, accepted=accepted)
        rule = LocalCorrection(correction, self._trained, shared, controls, kept) if correction else None
        term = rule.term if rule else GradientTerm(self._trained, self.config.proximal_mu or 0.0)
        mean_gradient = rule.mean_gradient if rule else None
        loss = self._steps.run(self._optimizer, round_index, num_rounds, term, mean_gradient, progress)
        if self._moments:
            self._moments.keep(round_index, self._optimizer)
        return Update(self._difference(shared, round_index, rule), self.case_count, {"loss": loss})

    def train_personal(
        self, model: Arrays, round_index: int, num_rounds: int, progress: Progress | None = None
    ) -> None:
        """Trains Ditto's personal model for one round beside `train_round`, held near `model`; nothing of it is sent.

        Args:
            model: Global weights at the start of the round.
            round_index: 0-based round; in round 0 the personal model begins as the global one.
            num_rounds: Planned rounds.
            progress: Told after every step.

        Raises:
            TrainingError: There is no training case, or the loss is not finite.
            ConfigError: The training section has no personal model that is trained beside the common one.
        """
        ditto = self.config.personal
        if not isinstance(ditto, Ditto) or not self._personal_optimizer or not self._personal_steps:
            raise ConfigError("training.personal is not ditto: no personal model is trained beside the common one")
        self._require_cases()
        shared, _ = split_controls(model)
        memory = self._own_state.carried("personal_start")
        before = memory.last_before(round_index)
        self._segmenter.load(shared if before is None else memory.read(before))
        optimizer = self._begun(self._personal_optimizer, self._personal_moments, round_index)
        self._personal_optimizer = optimizer
        term = GradientTerm(self._trained, ditto.strength, shared)
        self._personal_steps.run(optimizer, round_index, num_rounds, term, None, progress)
        if self._personal_moments:
            self._personal_moments.keep(round_index, optimizer)
        memory.keep(round_index, self.weights())
        save_weights(self._own_state.personal_file, self.weights())

    def fine_tune(self, model: Arrays, progress: Progress | None = None) -> None:
        """Trains the finished common model further into this site's personal one; nothing of it is sent.

        Args:
            model: Global weights after the last round.
            progress: Told after every step.

        Raises:
            TrainingError: There is no training case, or the loss is not finite.
            ConfigError: The training section has no fine-tuned model.
        """
        tuned = self.config.personal
        if not isinstance(tuned, FineTuned):
            raise ConfigError("training.personal is not fine_tuned: the common model is not trained further")
        self._require_cases()
        optimizer = self.config.optimizer
        if tuned.learning_rate is not None:
            optimizer = optimizer.model_copy(update={"learning_rate": tuned.learning_rate})
        steps = self._local_steps(self.config.model_copy(update={"optimizer": optimizer}), tuned.steps)
        shared, _ = split_controls(model)
        self._segmenter.load(shared)
        steps.run(self._new_optimizer(), 0, 1, GradientTerm(self._trained, 0.0), None, progress)
        between = {name: shared[name] + tuned.share * (value - shared[name]) for name, value in self.weights().items()}
        save_weights(self._own_state.personal_file, between)

    def predict(self, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Segments one prepared image; see `Segmenter.predict`."""
        return self._segmenter.predict(image)

    def evaluate(self, model: Arrays, cases: Sequence[PreparedCase], surfaces: bool = False) -> list[CaseScore]:
        """Scores `model`, with this site's own parameters in it where it has any; see `Segmenter.evaluate`."""
        shared, _ = split_controls(model)
        own = self._own_state.latest() if self._site_local else {}
        return self._segmenter.evaluate(self._with_own(shared, own), cases, surfaces)

    @property
    def has_personal_model(self) -> bool:
        """Is whether this site has one; one that no round has asked to train has none."""
        return self._own_state.personal_file.is_file()

    def evaluate_personal(self, cases: Sequence[PreparedCase], surfaces: bool = False) -> list[CaseScore]:
        """Scores the personal model on `cases`; see `Segmenter.evaluate`.

        Raises:
            UpdateError: There is none yet.
        """
        return self._segmenter.evaluate(load_weights(self._own_state.personal_file), cases, surfaces)

    def _difference(self, shared: Arrays, round_index: int, rule: LocalCorrection | None) -> Arrays:
        """Returns what is sent of the trained weights, and keeps what is the site's own."""
        trained = self.weights()
        difference = {name: trained[name] - shared[name] for name in trained}
        if rule:
            following = rule.next_own(trained)
            self._own_state.propose(round_index, following)
            return with_controls(difference, rule.changes(following))
        if self._site_local:
            self._own_state.propose(round_index, {name: trained[name] for name in self._site_local})
        return difference | {name: np.zeros_like(shared[name]) for name in self._site_local}

    def _begun(
        self, optimizer: torch.optim.Optimizer, moments: KeptMoments | None, round_index: int
    ) -> torch.optim.Optimizer:
        """Returns an optimiser as the last round before this one left it, also in a new process and in a second try."""
        if self.config.optimizer.keep_state and moments is None:
            return optimizer
        begun = self._new_optimizer()
        if moments:
            moments.restore(round_index, begun)
        return begun

    def _local_steps(self, config: TrainingConfig, steps: int | None = None) -> LocalSteps:
        return LocalSteps(config, self._segmenter, self._trained, self._samples, steps)

    def _require_cases(self) -> None:
        if self.config.flower:
            raise ConfigError(
                "training.flower: an app of the site's trains, and our own trainer cannot stand in for it"
            )
        if not self.case_count:
            raise TrainingError("this site has no training case; it can only evaluate")

    @property
    def _keeps_own(self) -> bool:
        return bool(self._site_local or self.config.personal)

    @property
    def _own_state(self) -> SiteState:
        if self._state is None:
            raise ConfigError("this rule needs a folder for what the site keeps of its own: make the trainer with one")
        return self._state

    def _with_own(self, shared: Arrays, own: Arrays) -> Arrays:
        return {**shared, **{name: own[name] for name in self._site_local if name in own}}

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return build_optimizer(self.config.optimizer, self._trained.values())
