"""The site's side of a reader study: an allow-listed executor that tells counts of what the site's own readers said.

Counts that it has told of a study are kept in `state/reader_studies/STUDY/`, and are what it tells from then on: of two
answers about a reading that went on in between, the difference would tell of a few cases.
"""

from pathlib import Path
from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from fedvoxel.config import parse_config
from fedvoxel.errors import CohortError
from fedvoxel.evaluation.reading.finished import FinishedReading, read_finished
from fedvoxel.evaluation.reading.study_sums import study_answer
from fedvoxel.federation.reader_study.answers import StudyAnswer, TooFewCases
from fedvoxel.flare.answering_executor import AnsweringExecutor
from fedvoxel.flare.job_args import ReadArgs
from fedvoxel.flare.messages import TASK_READER_STUDY
from fedvoxel.flare.patient_promises import check_promises
from fedvoxel.flare.state_folder import state_folder, workspace_of
from fedvoxel.privacy.policy import load_privacy_policy
from fedvoxel.records.chain import Chain
from fedvoxel.volumes.site import SITE_FILE, load_site_config

TOLD_FILE = "told.jsonl"
"""The chain of what has left about a study."""


class ReaderStudyExecutor(AnsweringExecutor):
    """Answers the task reader_study; the site's policy, minimum and folder hold whatever a job says."""

    tasks, answers_as = (TASK_READER_STUDY,), "reading"

    def __init__(self, cohort: str, classes: list[str], study: str, package: str) -> None:
        """Keeps the job's words; they are checked when the task comes.

        Args:
            cohort: The cohort that the study's patients are in.
            classes: What the package marks.
            study: The name of the reading in the site's own file.
            package: Identity of the package that was read.
        """
        super().__init__(cohort)
        self.classes, self.study, self.package = classes, study, package

    def answer(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> dict[str, Any]:
        """Returns what is told, once it is noted with the job."""
        said = {name: getattr(self, name) for name in ReadArgs.model_fields}
        asked = parse_config(ReadArgs, said, "the job")
        answer = told_of(Path(workspace_of(fl_ctx).get_site_config_dir()).resolve(), asked).model_dump(mode="json")
        self._keep(state_folder(fl_ctx) / "reader_studies" / asked.study / TOLD_FILE, answer, fl_ctx)
        self.log_info(fl_ctx, f"event=reader_study_told study={asked.study}", fire_event=False)
        return answer

    def _keep(self, path: Path, answer: dict[str, Any], fl_ctx: FLContext) -> None:
        """Notes what is told and to which job, before it leaves.

        Raises:
            CohortError: Another thing was told before.
            LedgerError: The record cannot be trusted or written.
        """
        told = {"package": self.package, "answer": answer}
        with Chain(path).writing() as chain:
            before = [{name: entry.body[name] for name in told} for entry in chain.entries]
            if any(other != told for other in before if not other["answer"]["below_minimum"]):
                raise CohortError(
                    "this site has told something else of this study before, and the difference would tell of a few "
                    "cases: read new cases in a study of their own, under another name"
                )
            chain.append({**told, "job_id": fl_ctx.get_job_id()})


def told_of(local: Path, asked: ReadArgs) -> StudyAnswer | TooFewCases:
    """Returns what a site would tell a job; nothing leaves by it.

    Args:
        local: The kit's `local/` folder.
        asked: What the job asks for.

    Raises:
        ConfigError: The hospital's policy lets nothing of it leave.
        CohortError: The site has no such study, it is not finished, or is of something else.
        LedgerError: A record cannot be trusted.
    """
    terms = load_privacy_policy(local).reader_studies(asked.cohort)
    check_promises(local, asked.cohort)
    declared = load_site_config(local / SITE_FILE).reader_study(asked.study, asked.cohort)
    finished = read_finished(local / declared.folder)
    _check_asked(asked, finished)
    return study_answer(finished, terms.minimum_cases)


def _check_asked(asked: ReadArgs, finished: FinishedReading) -> None:
    """Checks that the job asks for what was read.

    Raises:
        CohortError: It asks for another package, or other structures.
    """
    if finished.package != asked.package:
        raise CohortError("this site's reader study is of another package than the job asks for")
    if finished.structures != asked.classes:
        raise CohortError("the package that was read marks other structures than the job's classes")
