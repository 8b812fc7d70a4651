"""Answers a trainer process's commands: loads the site's cases once, then initialises, trains and evaluates."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from fedvoxel.errors import ConfigError, TrainingError
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.sections import PatientMechanismConfig
from fedvoxel.privacy.shared_noise import SharedNoise
from fedvoxel.training.config import Ditto, FineTuned
from fedvoxel.training.local_steps import Progress
from fedvoxel.training.messages import Message
from fedvoxel.training.networks import build_network, get_weights
from fedvoxel.training.patient_views import PatientViews
from fedvoxel.training.private_training import PrivateTrainer
from fedvoxel.training.readiness import readiness
from fedvoxel.training.scoring import mean_dice_by_class
from fedvoxel.training.segmenter import Segmenter
from fedvoxel.training.setup import TrainerSetup
from fedvoxel.training.shared_training import SharedTrainer
from fedvoxel.training.site_state import SiteState
from fedvoxel.training.trainer import Trainer
from fedvoxel.updates.correction import READ_CORRECTION
from fedvoxel.updates.scores import CaseScore
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import save_weights
from fedvoxel.volumes.loading import load_cases, load_usable_cases
from fedvoxel.volumes.plan import PreparedCase, by_patient
from fedvoxel.volumes.site import ComputeConfig, load_site_config
from fedvoxel.volumes.split import Split
from fedvoxel.volumes.used_patients import Use, UsedPatients

logger = logging.getLogger(__name__)


class SiteTrainer:
    """Joins a site's cohort to a `Trainer`; cases of a split are read when they are first needed."""

    def __init__(self, setup: TrainerSetup) -> None:
        """Reads the site's file; neither scans nor the network are touched yet.

        Raises:
            ConfigError: The site's file cannot be read, or it asks for a device that is not there.
        """
        self._setup = setup
        self._file = Path(setup.site_file)
        self._site = load_site_config(self._file)
        self._device = use_compute(self._site.compute)
        self._cases: dict[Split, tuple[PreparedCase, ...]] = {}
        self.refused_cases = 0
        self._trainer: Trainer | None = None
        self._private: PrivateTrainer | None = None
        self._mechanism: PatientMechanism | None = None
        self._shared: SharedTrainer | None = None
        self._noted: set[tuple[Use, Split]] = set()

    def answer(self, message: Message, progress: Progress) -> Message:
        """Carries out one command and returns the result.

        Raises:
            ConfigError: The command is unknown, or the task does not fit.
            TrainingError: Training failed.
            CohortError: The cohort is unknown or has no usable case.
        """
        commands: Mapping[str, Callable[[Mapping[str, Any], Arrays, Progress], Message]] = {
            "initialize": self._initialize,
            "train": self._train,
            "train_private": self._train_private,
            "train_share": self._train_share,
            "evaluate": self._evaluate,
            "check": self._check,
        }
        command = message.header.get("command")
        if command not in commands:
            raise ConfigError(f"unknown trainer command {command!r}; expected one of {', '.join(commands)}")
        return commands[str(command)](message.header, message.arrays, progress)

    def prepare(self) -> None:
        """Reads the training cases and builds the network, so that the first command need not wait for it.

        Raises:
            ConfigError: The network, loss or optimiser cannot be built as described.
            CohortError: The cohort is unknown or has no usable case.
        """
        task = self._setup.task
        if isinstance(task.privacy, PatientMechanismConfig):
            self._prepare_private(task.privacy)
        elif self._trainer is None:
            cases = self.cases("training")
            self._trainer = Trainer(task.training, task.classes, cases, self._setup.site, self._device, self._state)

    def _prepare_private(self, config: PatientMechanismConfig) -> None:
        """Builds the private trainer on the training patients, however few they are.

        How many are usable depends on the job's plan and classes too: were a job refused for their number, whoever
        writes jobs could find it out, job by job, and nothing would be charged for it.

        Raises:
            ConfigError: The network does not go with the mechanism.
        """
        if self._private or self._shared:
            return
        task, patients = self._setup.task, by_patient(self.cases("training"))
        views = PatientViews(task.training, patients, self._setup.site, config.views_per_patient)
        # A GPU's sums in whatever order come first would round one patient's gradient in another way each time.
        torch.backends.cudnn.deterministic = True
        segmenter, at_once = Segmenter(task.training, task.classes, self._device), self._site.compute.patients_at_once
        if config.shared_noise:
            self._shared = SharedTrainer(segmenter, views, SharedNoise(config), at_once)
        else:
            self._mechanism = PatientMechanism(config)
            self._private = PrivateTrainer(segmenter, views, self._mechanism, at_once, self._state)

    @property
    def _state(self) -> SiteState:
        return SiteState(Path(self._setup.state_folder), self._setup.task.cohort)

    def cases(self, split: Split) -> tuple[PreparedCase, ...]:
        """Returns the usable, prepared cases of one split.

        Raises:
            CohortError: The cohort is unknown, or has no usable case and a job that protects nobody: under a privacy
                section an error would tell of the cases, at no charge.
        """
        if split not in self._cases:
            task = self._setup.task
            load = load_usable_cases if task.privacy else load_cases
            loaded, refused = load(self._site, task.cohort, task.classes, task.plan, split, self._file.parent)
            self._cases[split] = loaded
            self.refused_cases += len(refused)
            for refusal in refused:
                logger.warning("event=case_refused split=%s case=%s reason=%s", split, refusal.case, refusal.reason)
        return self._cases[split]

    def _note(self, use: Use, split: Split) -> None:
        """Puts on record whom the run is about to use, once for each start of this process."""
        if (use, split) not in self._noted:
            record, cohort = UsedPatients(Path(self._setup.state_folder)), self._setup.task.cohort
            record.note(use, cohort, (case.patient or case.case for case in self.cases(split)))
            self._noted.add((use, split))

    @property
    def trainer(self) -> Trainer:
        """Is the trainer; see `prepare`."""
        self.prepare()
        if self._trainer is None:
            raise TrainingError("this job protects each patient: its site answers rounds and initial weights only")
        return self._trainer

    def _initialize(self, header: Mapping[str, Any], arrays: Arrays, progress: Progress) -> Message:
        # Built anew: once trained, this site's own weights are no initial model, and hold what it learnt.
        task = self._setup.task
        network = build_network(task.training.network, len(task.classes) + 1, task.training.seed)
        return Message({"event": "result"}, get_weights(network))

    def _check(self, header: Mapping[str, Any], arrays: Arrays, progress: Progress) -> Message:
        # The network is built and the training cases are read before any command is answered.
        return Message({"event": "result", **readiness(self.trainer.case_count, self.refused_cases)})

    def _train(self, header: Mapping[str, Any], arrays: Arrays, progress: Progress) -> Message:
        started = time.monotonic()
        result: dict[str, Any] = {"event": "result", "case_count": self.trainer.case_count}
        if header["validate"]:
            result["validation"] = self._validate(arrays)
        difference: Arrays = {}
        if self.trainer.case_count:
            self._note("trained", "training")
            difference = self._train_models(header, arrays, progress, result)
        result |= {"refused_cases": self.refused_cases, "seconds": time.monotonic() - started}
        return Message(result, difference)

    def _train_models(
        self, header: Mapping[str, Any], arrays: Arrays, progress: Progress, result: dict[str, Any]
    ) -> Arrays:
        """Trains the common model, and the personal one where the job has it; adds to `result`."""
        index, planned = header["round"], header["num_rounds"]
        correction = READ_CORRECTION.validate_python(header["correction"])
        update = self.trainer.train_round(arrays, index, planned, progress, correction, header["accepted"])
        result |= update.metrics
        if self._setup.task.privacy is None:
            # Under a privacy section these weights, neither clipped nor noised, are nobody's to fetch.
            save_weights(Path(header["keep_as"]), self.trainer.weights())
        if isinstance(self._setup.task.training.personal, Ditto):
            self.trainer.train_personal(arrays, index, planned, progress)
        return update.arrays

    def _train_private(self, header: Mapping[str, Any], arrays: Arrays, progress: Progress) -> Message:
        """Trains a round under the mechanism; the result is the noised difference and the number of noised steps."""
        self.prepare()
        if self._private is None or self._mechanism is None:
            kind = "no privacy section" if self._shared is None else "noise that its sites share"
            raise ConfigError(f"the job has {kind}, and a round under a privacy section of each site was asked for")
        self._note("trained", "training")
        before = self._mechanism.steps_taken
        update = self._private.train_round(arrays, header["round"], header["num_rounds"], progress)
        return Message({"event": "result", "steps": self._mechanism.steps_taken - before}, update.arrays)

    def _train_share(self, header: Mapping[str, Any], arrays: Arrays, progress: Progress) -> Message:
        """Computes a round's share of the secure sum, to be masked before it leaves, and the number of noised steps."""
        self.prepare()
        if self._shared is None:
            raise ConfigError("the job has no noise that its sites share, and a share was asked for")
        self._note("trained", "training")
        before = self._shared.steps_taken
        share = self._shared.share(arrays, header["round"])
        return Message({"event": "result", "steps": self._shared.steps_taken - before}, share=share)

    def _validate(self, arrays: Arrays) -> dict[str, Any] | None:
        cases = self.cases("validation")
        if not cases:
            return None
        self._note("scored", "validation")
        scores = self.trainer.evaluate(arrays, cases)
        return {"cases": len(scores), "dice": mean_dice_by_class(scores, self._setup.task.classes)}

    def _evaluate(self, header: Mapping[str, Any], arrays: Arrays, progress: Progress) -> Message:
        split: Split = header["split"]
        cases = self.cases(split)
        self._note("scored", split)
        result = {"event": "result", "scores": _rows(self.trainer.evaluate(arrays, cases, surfaces=split == "test"))}
        personal = self._setup.task.training.personal
        if split == "test" and isinstance(personal, FineTuned) and self.trainer.case_count:
            self.trainer.fine_tune(arrays, progress)
        if split == "test" and personal and self.trainer.has_personal_model:
            result["personal_scores"] = _rows(self.trainer.evaluate_personal(cases, surfaces=True))
        return Message(result)


def _rows(scores: Sequence[CaseScore]) -> list[dict[str, Any]]:
    return [{"case": score.case, "dice": score.dice, "hd95_mm": score.hd95_mm} for score in scores]


def use_compute(compute: ComputeConfig) -> str:
    """Applies the site's limits to this process and returns the device, `cpu` or `cuda`.

    Raises:
        ConfigError: The site asks for a GPU that is not there.
    """
    if compute.threads:
        torch.set_num_threads(compute.threads)
    if compute.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("compute.device is 'cuda', but PyTorch finds no GPU here; write 'auto' or 'cpu'")
    return "cuda" if compute.device != "cpu" and torch.cuda.is_available() else "cpu"
