"""The server's side of a reader study: a site that tells something else is named, and not counted."""

from collections.abc import Collection
from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.errors import UpdateError
from fedvoxel.federation.reader_study.result import ReaderStudyResult
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.gathered import Gathered
from fedvoxel.flare.reader_study import ReaderStudyController
from fedvoxel.flare.site_tasks import OnReply
from tests.federation.reader_study.test_answers import PACKAGE, answer_values, verdicts

FEW = {"schema_version": 1, "minimum_cases": 5, "below_minimum": True}


class Controller(ReaderStudyController):
    """Is a controller whose sites have answered already."""

    def __init__(self, replies: dict[str, Any]) -> None:
        super().__init__("spring", PACKAGE)
        self.replies, self.said = replies, list[str]()

    def info(self, msg: str) -> None:
        self.said.append(msg)

    def ask(self, task_name: str, model: FLModel, sites: Collection[str], wait: Wait, on_reply: OnReply) -> Gathered:
        refused = {}
        for site, reading in self.replies.items():
            try:
                on_reply(site, FLModel(metrics={"arrays": 0}, meta={"reading": reading}))
            except UpdateError as error:
                refused[site] = str(error)
        return Gathered({site: "no reply" for site in sites if site not in self.replies}, refused)


def test_only_whole_answers_about_the_package_count() -> None:
    replies = {
        "a": answer_values(),
        "b": answer_values(package="cd" * 32),
        "c": answer_values(**verdicts(20, 7, 0, 3)),
        "d": FEW,
        "e": None,
    }
    controller = Controller(replies)
    found = ReaderStudyResult.model_validate(controller.answers([*replies, "f"]))
    assert set(found.sites) == {"a"} and set(found.absent) == {"b", "c", "d", "e", "f"}
    assert found.absent["b"] == "the answer is about another package"
    assert "too few cases" in found.absent["d"] and found.absent["f"] == "no reply"
    assert found.pooled is not None and found.pooled.hospitals == 1
    assert any(line.endswith("30 cases of 1 hospital") for line in controller.said)


def test_a_study_in_which_nobody_tells_has_a_result_that_says_so() -> None:
    found = ReaderStudyResult.model_validate(Controller({"a": FEW}).answers(["a", "b"]))
    assert found.pooled is None and found.says[0] == "no hospital told anything" and len(found.absent) == 2
