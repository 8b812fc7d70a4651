"""A finished step is not repeated, one whose input has changed is, and one that failed leaves nothing behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConfigError, StepError
from fedvoxel.evaluation.comparison.parts import Values
from fedvoxel.ops.pipelines.record import PipelineRecord
from fedvoxel.ops.pipelines.run import NAMES, PipelineRun, Step, StepName
from tests.blob_job import job_documents, write_job
from tests.ops.pipelines.settings_sample import write_settings


class Counted:
    """Steps that count how often they were done, and find out what they are told to."""

    def __init__(self, folder: Path) -> None:
        self.settings, self.folder = write_settings(folder), folder / "run"
        self.done: list[str] = []
        self.found: dict[str, Values] = {name: {"of": name} for name in NAMES}
        self.fails_at: str | None = None
        self.needs: dict[str, Any] = {}
        self.gone: set[str] = set()

    @property
    def run(self) -> PipelineRun:
        return PipelineRun(self.settings, PipelineRecord(self.folder), {name: self._step(name) for name in NAMES})

    def _step(self, name: StepName) -> Step:
        def work(run: PipelineRun) -> Values:
            if self.fails_at == name:
                raise StepError("no", 7)
            self.done.append(name)
            self.gone.discard(name)
            return self.found[name]

        return Step(lambda run: {"set": self.needs.get(name)}, work, lambda run, values: name not in self.gone)

    def to_the_end(self) -> list[str]:
        """Returns the steps that had to be done."""
        self.done = []
        for name in NAMES:
            self.run.do(name)
        return self.done


@pytest.fixture
def steps(tmp_path: Path) -> Counted:
    return Counted(tmp_path)


def test_a_failed_step_is_done_again_and_those_before_it_are_not(steps: Counted) -> None:
    steps.fails_at = "evaluate"
    with pytest.raises(StepError):
        steps.to_the_end()
    assert steps.done == ["check", "submit", "wait"] and steps.run.found("evaluate") is None
    steps.fails_at = None
    assert steps.to_the_end() == ["evaluate", "gate", "export", "register"]
    assert steps.to_the_end() == []


def test_a_changed_setting_repeats_its_step_and_what_then_differs(steps: Counted) -> None:
    steps.to_the_end()
    steps.needs["gate"] = 0.9
    assert steps.to_the_end() == ["gate"], "the gate says the same, so that the package stays"
    steps.needs["gate"], steps.found["gate"] = 0.99, {"of": "another"}
    assert steps.to_the_end() == ["gate", "export"]


def test_a_result_that_is_gone_is_fetched_again(steps: Counted) -> None:
    steps.to_the_end()
    steps.gone.add("wait")
    assert steps.run.found("register") is None
    assert steps.to_the_end() == ["wait"]


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("{"), lambda path: path.unlink()])
def test_a_damaged_record_is_no_finished_step(steps: Counted, spoil: Callable[[Path], Any]) -> None:
    steps.to_the_end()
    spoil(steps.folder / "steps" / "gate.json")
    assert steps.to_the_end() == ["gate"]


def test_no_step_is_done_before_the_one_before_it(steps: Counted) -> None:
    with pytest.raises(ConfigError, match="the step gate is not finished under these settings"):
        steps.run.do("export")
    assert steps.done == [] and not (steps.folder / "steps").exists()


def test_what_changes_during_the_work_has_not_been_worked_on(steps: Counted) -> None:
    class Edited(Counted):
        def _step(self, name: StepName) -> Step:
            step = super()._step(name)

            def work(run: PipelineRun) -> Values:
                self.needs[name] = "edited meanwhile"
                return step.work(run)

            return Step(step.needs, work)

    edited = Edited(steps.settings.parent)
    edited.run.do("check")
    assert edited.run.found("check") is None


def test_the_hash_of_a_job_is_that_of_its_files(steps: Counted) -> None:
    before = steps.run.job_sha256
    assert steps.run.job_sha256 == before and steps.run.asked[0].classes == ("blob",)
    folder = steps.settings.parent / "other"
    write_job(folder, job_documents(seed=9))
    write_settings(steps.settings.parent, job="other")
    assert steps.run.job_sha256 != before
