"""What a server's log says of a run becomes spans with its times, and nothing that is not over."""

import pytest

from fedvoxel.errors import JobError
from fedvoxel.ops.tracing.spans import RunTrace, Span, trace_of
from tests.ops.tracing.log_sample import BEGAN, EVENTS, RUN, SECOND_JOB, STAFF, log_of, round_event, run_event


def times(trace: RunTrace) -> dict[str, tuple[float, float]]:
    """Returns when each span began and ended, in seconds after the log's beginning."""
    return {one.name: ((one.begins - BEGAN).total_seconds(), (one.ends - BEGAN).total_seconds()) for one in trace.spans}


def named(trace: RunTrace, name: str) -> Span:
    return next(one for one in trace.spans if one.name == name)


def test_a_run_its_attempts_and_its_rounds_have_the_times_of_the_log() -> None:
    trace = trace_of(log_of(), RUN)
    assert trace.ended and times(trace) == {
        "round 0": (1, 11),
        "round 1": (11, 20),
        "attempt 1": (1, 20),
        "round 2": (32, 41),
        "attempt 2": (32, 50),
        "run a_run": (1, 50),
    }
    run = named(trace, "run a_run")
    assert run.words == {
        "fedvoxel.run_key": RUN, "fedvoxel.attempts": 2, "fedvoxel.rounds_committed": 3, "fedvoxel.status": "finished",
    }  # fmt: skip
    assert run.parent == "" and {one.parent for one in trace.spans if "attempt" in one.name} == {run.id}
    assert named(trace, "round 2").parent == named(trace, "attempt 2").id
    assert len({one.id for one in trace.spans}) == 6 and {len(one.id) for one in trace.spans} == {16}


def test_sites_are_told_where_they_answered_and_staff_nowhere() -> None:
    trace = trace_of(log_of(), RUN)
    first = [(one.words["fedvoxel.site"], one.words["fedvoxel.outcome"]) for one in named(trace, "round 0").happenings]
    assert first == [("hospital-a", "done"), ("hospital-b", "missing")]
    assert named(trace, "round 0").happenings[1].words["fedvoxel.reason"] == "no reply within 5 s"
    assert [one.words["fedvoxel.task"] for one in named(trace, "attempt 2").happenings] == ["test"]
    assert STAFF not in repr(trace)


def test_an_attempt_of_whose_end_the_log_has_no_word_says_so_and_its_late_round_counts() -> None:
    """The log has none of one that was killed, nor of one that ended since a site was back: neither is made up."""
    trace = trace_of(log_of(), RUN)
    assert str(named(trace, "attempt 1").words["fedvoxel.reason"]).startswith("the log has no end of it")
    assert "fedvoxel.status" not in named(trace, "attempt 1").words and named(trace, "round 1").trouble is None
    assert named(trace, "attempt 2").words["fedvoxel.status"] == "finished"


@pytest.mark.parametrize("lines", range(2, len(EVENTS)))
def test_what_is_under_way_is_not_told_and_what_was_told_stays(lines: int) -> None:
    whole, part = trace_of(log_of(), RUN), trace_of(log_of(EVENTS[:lines]), RUN)
    assert not part.ended and part.id == whole.id
    assert all(span in whole.spans for span in part.spans)


def test_a_round_that_its_run_has_not_committed_is_told_as_trouble() -> None:
    failed = (*EVENTS[:9], (42, run_event(SECOND_JOB, "failed", "the disk is gone")))
    trace = trace_of(log_of(failed), RUN)
    assert (named(trace, "round 2").trouble, named(trace, "run a_run").trouble) == (
        "it was not committed",
        "the disk is gone",
    )


def test_of_two_runs_with_one_key_the_last_is_told() -> None:
    again = ((60, run_event("job-3", "started")), (70, round_event("job-3", 0)))
    trace = trace_of(log_of(EVENTS + again), RUN)
    assert trace.id != trace_of(log_of(), RUN).id
    assert times(trace) == {"round 0": (60, 70)}


def test_a_run_that_the_log_does_not_have_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(JobError, match="no run 'another'; it has a_run, b_run"):
        trace_of(log_of((*EVENTS, (60, run_event("job-9", "started", run_key="b_run")))), "another")
