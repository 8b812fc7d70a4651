"""Exchanges that follow each other at once: the end of one is no business of the next."""

from typing import Any

import pytest
from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask, Task
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.workflows.model_controller import ModelController

from fedvoxel.flare.exchange import Exchange
from fedvoxel.flare.site_tasks import SiteTasks


class Sites(SiteTasks):
    def run(self) -> None:
        raise NotImplementedError


def _answered(receive: Any) -> ClientTask:
    task = Task("secure_confirm", Shareable(), props={AppConstants.TASK_PROP_CALLBACK: receive})
    answered = ClientTask(Client("hospital-a", "token"), task)
    answered.result = Shareable()
    return answered


@pytest.mark.parametrize("taken", [True, False])
def test_a_reply_that_ends_an_exchange_is_none_in_the_next(monkeypatch: pytest.MonkeyPatch, taken: bool) -> None:
    """FLARE's thread is still at the last reply when the controller's own has asked the next question."""
    sites = Sites()
    first, second = Exchange(receive=lambda _: True), Exchange(receive=lambda _: True)

    def process(controller: Sites, task: ClientTask, fl_ctx: FLContext) -> None:
        if taken:
            first.answered.add(task.client.name)
        controller._open = second

    monkeypatch.setattr(ModelController, "_process_result", process)
    sites._open = first
    sites._process_result(_answered(first.receive), FLContext())
    assert second.failed == {}
    assert first.failed == ({} if taken else {"hospital-a": "an unreadable reply"})


def test_a_site_is_coming_for_a_question_until_flare_has_given_it_out() -> None:
    sites, come = Sites(), FLContext()
    sites._sites = 3
    peer = FLContext()
    peer.set_prop(ReservedKey.IDENTITY_NAME, "hospital-a", private=False, sticky=False)
    come.set_peer_context(peer)
    sites.handle_event(EventType.BEFORE_PROCESS_TASK_REQUEST, come)
    assert sites._question("train", 1.0, {"hospital-a"}, 60.0).coming, "it has asked, and was given nothing"
    sites.handle_event(EventType.BEFORE_TASK_DATA_FILTER, come)
    asked = sites._question("train", 1.0, {"hospital-a"}, 60.0)
    assert (asked.coming, asked.idle) == (False, 2)
    assert sites._question("train", 1.0, {"hospital-a", "hospital-b"}, 60.0).coming
    sites.handle_event(EventType.BEFORE_TASK_DATA_FILTER, FLContext())
