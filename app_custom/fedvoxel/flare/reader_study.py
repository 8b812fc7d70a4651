"""The server's side of a reader study: asks every site what its clinicians said of a package, and pools the counts."""

from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.errors import UpdateError
from fedvoxel.federation.reader_study.answers import StudyAnswer, TooFewCases, parse_answer
from fedvoxel.federation.reader_study.result import RESULT_FILE, make_result
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.inquiry import InquiryController
from fedvoxel.flare.messages import NO_ARRAYS, TASK_READER_STUDY


class ReaderStudyController(InquiryController):
    """Gathers the sites' counts; a site that tells nothing is named with its reason, and is no failure."""

    title = "reader study"
    file = RESULT_FILE

    def __init__(self, study: str, package: str, timeout_s: float = 1800.0, task_check_period: float = 0.1) -> None:
        """Keeps the job's words; see `InquiryController`.

        Args:
            study: The name under which each site keeps its reading.
            package: Identity of the package that was read.
            timeout_s: Longest wait, in seconds.
            task_check_period: Seconds between two looks at open tasks.
        """
        super().__init__(timeout_s, task_check_period)
        self.study, self.package = study, package

    def answers(self, sites: list[str]) -> dict[str, Any]:
        """Returns a `ReaderStudyResult`."""
        received: dict[str, StudyAnswer | TooFewCases] = {}

        def receive(site: str, reply: FLModel) -> None:
            answer = parse_answer(reply.meta.get("reading"), site)
            if isinstance(answer, StudyAnswer) and answer.package != self.package:
                raise UpdateError("the answer is about another package")
            received[site] = answer

        question = FLModel(metrics=dict(NO_ARRAYS))
        gathered = self.ask(TASK_READER_STUDY, question, sites, Wait(self.timeout_s), receive)
        result = make_result(self.study, self.package, received, gathered.missing | gathered.refused)
        for line in result.says:
            self.info(f"event=reader_study said={line}")
        return result.model_dump(mode="json")
