"""A hospital's part of a calibration, in a process of its own: run as a module by `training.process`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedvoxel.errors import ConfigError
from fedvoxel.training.messages import Message
from fedvoxel.training.setup import TrainerSetup
from fedvoxel.training.worker import SiteWork, main

if TYPE_CHECKING:
    from fedvoxel.evaluation.uncertainty.hospital_sums import HospitalCases
    from fedvoxel.training.local_steps import Progress
    from fedvoxel.volumes.plan import PreparedCase
    from fedvoxel.volumes.split import Split

CALIBRATOR = "fedvoxel.evaluation.uncertainty.site_work"
"""This module, as `TrainerProcess` is told."""


class CalibrationWork:
    """Answers the two questions of a calibration from the site's own cases."""

    def __init__(self, setup: TrainerSetup) -> None:
        """Keeps the set-up; cases are read when the first question comes."""
        self._setup = setup
        self._cases: tuple[tuple[PreparedCase, ...], tuple[PreparedCase, ...]] | None = None

    def prepare(self) -> None:
        """Imports what the questions need.

        Raises:
            ConfigError: The site's file cannot be read, or it asks for a device that is not there.
        """
        from fedvoxel.training.site_trainer import use_compute
        from fedvoxel.volumes.site import load_site_config

        self._site = load_site_config(Path(self._setup.site_file))
        self._device = use_compute(self._site.compute)

    def answer(self, message: Message, progress: "Progress") -> Message:
        """Answers one question; the model comes with it.

        Raises:
            ConfigError: The question is unknown, or the model is not the job's network.
            CohortError: The cohort is unknown or has no usable case.
        """
        from fedvoxel.config import parse_config
        from fedvoxel.federation.calibration.plan import ExaminationPlan

        def count(done: int, total: int) -> None:
            progress(done, total, None)

        header: Mapping[str, Any] = message.header
        cases = self._hospital_cases(message)
        if header["command"] == "calibrate_first":
            return Message({"event": "result", "calibration": cases.first(count).model_dump(mode="json")})
        if header["command"] == "calibrate_second":
            plan = parse_config(ExaminationPlan, header["plan"], "the plan of the calibration")
            return Message({"event": "result", "calibration": cases.second(plan, count).model_dump(mode="json")})
        raise ConfigError(f"unknown command {header['command']!r}; expected calibrate_first or calibrate_second")

    def _hospital_cases(self, message: Message) -> "HospitalCases":
        from fedvoxel.evaluation.uncertainty.hospital_sums import HospitalCases
        from fedvoxel.evaluation.uncertainty.network_runtime import network_model

        task = self._setup.task
        self._cases = self._cases or (self._load("training"), self._load("validation"))
        model = network_model(task, message.arrays, self._device)
        return HospitalCases(model, task.classes, *self._cases, task.plan.intensity)

    def _load(self, split: "Split") -> "tuple[PreparedCase, ...]":
        from fedvoxel.volumes.loading import load_cases

        task, file = self._setup.task, Path(self._setup.site_file)
        return load_cases(self._site, task.cohort, task.classes, task.plan, split, file.parent)[0]


def _work(setup: TrainerSetup) -> SiteWork:
    return CalibrationWork(setup)


if __name__ == "__main__":
    main(int(sys.argv[1]), _work)
