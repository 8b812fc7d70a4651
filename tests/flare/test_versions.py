"""Server and sites tell one another their versions; who is not understood is left out before anybody trains."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nvflare.apis.client import Client
from nvflare.apis.controller_spec import Task
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext, FLContextManager
from nvflare.apis.shareable import make_reply
from nvflare.apis.signal import Signal

from fedvoxel import __version__
from fedvoxel.flare.drift_watch_site import DriftWatchExecutor
from fedvoxel.flare.executor import SiteExecutor
from fedvoxel.flare.messages import TASK_STATISTICS, TASK_TRAIN, error_of
from fedvoxel.flare.outbound import COHORT_PROPERTY, OutboundFilter
from fedvoxel.flare.reader_study_site import ReaderStudyExecutor
from fedvoxel.flare.statistics import StatisticsExecutor
from fedvoxel.flare.versions import VERSIONS_PROPERTY, kind_of, tell_versions
from fedvoxel.privacy.policy import CohortBudget
from fedvoxel.records.audit import AuditLog
from tests.federation.test_versions import told
from tests.flare.test_controller import FakeSites, from_peer, run_sites, well_behaved
from tests.flare.test_patient_promises import Site

TOLD: dict[str, Any] = {"hospital-a": told(1, 1, "0.2.0"), "hospital-b": told(2, 2, "0.9.0"), "hospital-c": None}


class MeetingSites(FakeSites):
    """Has each site come for its task as FLARE does, and gives it to those who are let in."""

    def broadcast(self, task: Task, fl_ctx: FLContext, targets: list[str], *rest: Any) -> None:
        let_in = [site for site in targets if self.process_task_request(Client(site, ""), coming(site))[0] == "a task"]
        super().broadcast(task, fl_ctx, let_in, *rest)


def coming(site: str) -> FLContext:
    """Returns the context with which a site comes; it says that it is another one."""
    context = from_peer("hospital-a")
    if TOLD[site] is not None:
        context.get_peer_context().set_prop(VERSIONS_PROPERTY, TOLD[site], private=False, sticky=False)
    return context


def never_asked(task: str) -> list[Any]:
    raise AssertionError(f"a site that is not understood was given {task}")


def test_a_site_of_another_release_is_left_out_by_name_and_the_others_finish(tmp_path: Path) -> None:
    answers = {"hospital-a": well_behaved, "hospital-b": never_asked, "hospital-c": well_behaved}
    outcome = run_sites(tmp_path, answers, MeetingSites)
    assert outcome.status == "finished" and outcome.rounds_committed == 2
    for record in outcome.rounds:
        assert set(record.contributed) == {"hospital-a", "hospital-c"}
        assert record.missing["hospital-b"].startswith("declined: hospital-b runs FedVoxel 0.9.0, which speaks")
    assert outcome.site_versions == {"hospital-a": "0.2.0", "hospital-b": "0.9.0", "hospital-c": "0.1.0"}
    read = [event for _, event in AuditLog(tmp_path / "state").read()]
    events = [event for event in read if event.task == "train" and event.outcome == "missing"]
    assert {event.site for event in events} == {"hospital-b"}
    assert all(event.reason.startswith("declined: hospital-b runs") for event in events)


def test_without_a_quorum_of_understood_sites_the_run_fails_and_says_so(tmp_path: Path) -> None:
    answers = {"hospital-a": well_behaved, "hospital-b": never_asked}
    outcome = run_sites(tmp_path, answers, MeetingSites)
    assert outcome.status == "failed" and outcome.rounds_committed == 0
    assert "hospital-b: declined: hospital-b runs FedVoxel 0.9.0" in str(outcome.reason)


# ------------------------------------------------------------------ the site's side


def given_by(server: Any, task: str = TASK_TRAIN) -> FLContext:
    """Returns the context in which a site gets a task from a server that tells this of itself."""
    context, peer = FLContext(), FLContext()
    if server is not None:
        peer.set_prop(VERSIONS_PROPERTY, server, private=False, sticky=False)
    context.set_peer_context(peer)
    context.set_prop(FLContextKey.TASK_NAME, task, private=True, sticky=False)
    return context


EXECUTORS = [
    (SiteExecutor("cohort", ["organ"], {}, {}, "run"), TASK_TRAIN),
    (StatisticsExecutor("cohort", ["organ"]), TASK_STATISTICS),
    (ReaderStudyExecutor("cohort", ["organ"], "study", "ab" * 32), "reader_study"),
    (DriftWatchExecutor("cohort", ["organ"], "model", "ab" * 32, {}), "drift_watch"),
]


@pytest.mark.parametrize(("executor", "task"), EXECUTORS)
def test_a_site_declines_a_server_that_it_does_not_understand_before_anything_else(executor: Any, task: str) -> None:
    reply = executor.execute(task, make_reply(ReturnCode.OK), given_by(told(2, 3, "0.9.0"), task), Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert error_of(reply).startswith("declined: the server runs FedVoxel 0.9.0, which speaks version 2 to 3 of")
    assert kind_of(task) in error_of(reply)


@pytest.mark.parametrize(("executor", "task"), EXECUTORS)
def test_a_site_tells_its_versions_with_its_first_request(executor: Any, task: str, tmp_path: Path) -> None:
    context = FLContextManager(identity_name="hospital-a").new_context()
    (tmp_path / "local").mkdir()
    kit = SimpleNamespace(
        get_site_config_dir=lambda: str(tmp_path / "local"), get_app_dir=lambda job_id: str(tmp_path / "app")
    )
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, kit, private=True)
    executor.handle_event(EventType.START_RUN, context) if task != TASK_TRAIN else tell_versions(context)
    assert context.get_all_public_props()[VERSIONS_PROPERTY]["package"] == __version__


@pytest.mark.parametrize(
    ("server", "words"), [(told(2, 3, "0.9.0"), "declined: the server runs"), (None, "its own log")]
)
def test_a_protected_cohorts_site_says_which_release_it_declined_and_nothing_else(
    server: Any, words: str, tmp_path: Path
) -> None:
    site = Site(tmp_path).add("cohort", "p1", CohortBudget(unit="patient", epsilon=1, delta=1e-3))
    context = FLContext()
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, site, private=True, sticky=False)
    context.set_prop(FLContextKey.TASK_NAME, TASK_TRAIN, private=True, sticky=False)
    context.set_prop(COHORT_PROPERTY, "cohort", private=True, sticky=False)
    context.set_peer_context(given_by(server).get_peer_context())
    reply = make_reply(ReturnCode.EXECUTION_EXCEPTION)
    reply.set_header("fedvoxel_error", "patient 17 has no scan")
    left = error_of(OutboundFilter().process(reply, context))
    assert words in left and "patient" not in left
