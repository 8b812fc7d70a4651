"""A look at the line asks what a check asks, with and without a model; a site without an answer ends it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from fedvoxel.errors import JobError, UpdateError
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.gathered import Gathered
from fedvoxel.flare.line_check import LineCheck
from fedvoxel.flare.line_probe import line_folder
from fedvoxel.governance.job_folder import JobFolder, read_job_folder
from tests.blob_job import job_documents, write_job

SITES = ["hospital-a", "hospital-b"]
MODEL = {"weight": np.ones((5, 7), np.float32)}


class Sites:
    """Answer as sites do; `asked` is what they were asked."""

    def __init__(self, model: dict[str, Any], silent: str | None = None) -> None:
        self._model, self._silent = model, silent
        self.asked: list[tuple[str, int]] = []

    def ask(self, task: str, question: FLModel, sites: list[str], wait: Wait, on_reply: Callable) -> Gathered:
        self.asked.append((task, sum(array.nbytes for array in (question.params or {}).values())))
        refused = {}
        for site in sites:
            if site != self._silent:
                params = self._model if task == "initialize" else None
                kind = ParamsType.FULL if params else None
                try:
                    on_reply(site, FLModel(params_type=kind, params=params, metrics=None if params else {"arrays": 0}))
                except UpdateError as error:
                    refused[site] = str(error)
        return Gathered({self._silent: "lost its connection"} if self._silent else {}, refused)


def test_it_asks_for_nothing_then_a_model_up_then_a_model_down_each_after_a_short_question() -> None:
    sites = Sites(MODEL)
    measured = LineCheck(sites.ask, SITES, 60).measure()
    empty = ("check", 0)
    assert sites.asked == [empty, empty, empty, empty, empty, ("initialize", 0), empty, ("check", 140)]
    assert (measured.sites, measured.model_bytes) == (2, 140)


def test_one_question_that_is_held_up_does_not_make_the_line_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    taken_s = iter([0.1, 4.0, 0.3, 10.0, 9.0])
    clock = iter([second for each in taken_s for second in (0.0, each)])
    monkeypatch.setattr("fedvoxel.flare.line_check.time.monotonic", lambda: next(clock))
    measured = LineCheck(Sites(MODEL).ask, SITES, 60).measure()
    assert (measured.empty_s, measured.up_s, measured.down_s) == (0.3, 10.0, 9.0)


def test_a_silent_site_ends_it() -> None:
    with pytest.raises(JobError, match="hospital-b: lost its connection"):
        LineCheck(Sites(MODEL, silent="hospital-b").ask, SITES, 60).measure()


@pytest.mark.parametrize("model", [{}, {"weight": np.full((2,), np.nan, np.float32)}])
def test_a_model_that_is_none_ends_it(model: dict[str, Any]) -> None:
    with pytest.raises(JobError, match="hospital-a"):
        LineCheck(Sites(model).ask, SITES, 60).measure()


@pytest.fixture
def job(tmp_path: Path) -> JobFolder:
    return read_job_folder(write_job(tmp_path / "blobs", job_documents()))


def test_the_job_that_measures_is_the_check_of_the_job_and_leaves_its_run_alone(job: JobFolder) -> None:
    made = line_folder(job, SITES, 60)
    assert made.controller.path == "fedvoxel.flare.job_check.JobCheckController"
    assert made.controller.args["measure_line"] is True
    assert set(made.executor.tasks) == {"check", "initialize"}
    assert made.executor.executor.path == job.executor.executor.path
    assert made.executor.executor.args["run_key"] == "job_check"
    assert made.meta.sites == tuple(SITES)
