"""A site's part of a calibration: a protected cohort is not looked at, and only the two tasks are answered."""

from pathlib import Path
from typing import Any

import pytest
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from fedvoxel.flare.calibration_site import CalibrationExecutor
from fedvoxel.flare.messages import error_of
from fedvoxel.flare.outbound import OutboundFilter
from fedvoxel.privacy.policy import CohortBudget, NoBudget
from tests.flare.test_patient_promises import Site
from tests.training.conftest import training_section

PATIENT = CohortBudget(unit="patient", epsilon=8, delta=1e-2)


class Kit(Site):
    """Is a site whose workspace a job runs in."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.root = folder

    def get_run_dir(self, job_id: str) -> str:
        return str(self.root)

    def get_root_dir(self) -> str:
        return str(self.root)

    def context(self, task: str) -> FLContext:
        context = FLContext()
        context.set_prop(FLContextKey.WORKSPACE_OBJECT, self, private=True)
        context.set_prop(ReservedKey.IDENTITY_NAME, "a", private=True)
        context.set_prop(FLContextKey.TASK_NAME, task, private=True)
        return context

    def answer(self, executor: CalibrationExecutor, task: str) -> Shareable:
        context = self.context(task)
        reply = executor.execute(task, Shareable(), context, Signal())
        return OutboundFilter().process(reply, context)


def executor(**changes: Any) -> CalibrationExecutor:
    training = training_section()
    return CalibrationExecutor("main", ["blob"], {}, training, "run", **changes)


@pytest.mark.parametrize(
    ("entry", "changes", "said"),
    [
        (PATIENT, {}, "this site declined the task"),
        (NoBudget(), {"privacy": {"unit": "patient"}}, "answers rounds only, and no calibration"),
    ],
)
def test_a_protected_cohort_is_not_even_read(tmp_path: Path, entry: Any, changes: dict[str, Any], said: str) -> None:
    kit = Kit(tmp_path).add("main", "p1,p2", entry)
    asked = executor(**changes)
    for task in ("calibrate_first", "calibrate_second"):
        assert said in error_of(kit.answer(asked, task))  # type: ignore[attr-defined]
    assert asked._process is None and not list(tmp_path.glob("*.log"))


def test_nothing_else_is_answered(tmp_path: Path) -> None:
    kit = Kit(tmp_path).add("main", "p1,p2", NoBudget())
    assert "unknown task 'train'" in error_of(kit.answer(executor(), "train"))  # type: ignore[attr-defined]


def test_an_undecided_cohort_tells_nothing(tmp_path: Path) -> None:
    kit = Kit(tmp_path).add("main", "p1,p2", None)
    asked = executor()
    said = error_of(kit.answer(asked, "calibrate_first"))  # type: ignore[attr-defined]
    assert "privacy policy says nothing about cohort" in said and asked._process is None
