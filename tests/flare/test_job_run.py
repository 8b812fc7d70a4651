"""Whoever waits for a job from a script is told whether it was done."""

import pytest

from fedvoxel.flare.job_run import SubmittedJob


@pytest.mark.parametrize(
    ("status", "outcome", "failed"),
    [
        (None, None, False),
        ("FINISHED:COMPLETED", None, False),
        ("FINISHED:ABNORMAL", None, True),
        ("FINISHED:ABNORMAL", "finished", False),
        ("FINISHED:COMPLETED", "stopped_early", False),
        ("FINISHED:COMPLETED", "failed", True),
        ("FINISHED:ABORTED", "aborted", True),
        ("FINISHED:ABNORMAL", "unfinished", True),
    ],
)
def test_a_job_has_failed_unless_its_run_has_ended_well(status: str | None, outcome: str | None, failed: bool) -> None:
    assert SubmittedJob("one", status, outcome=outcome).failed is failed
