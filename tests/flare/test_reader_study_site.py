"""A site's part of a reader study: its policy, its minimum and its records hold whatever a job asks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nvflare.apis.fl_constant import FLContextKey, ReservedKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.errors import FedVoxelError, UpdateError
from fedvoxel.federation.reader_study.answers import StudyAnswer
from fedvoxel.flare.job_args import ReadArgs
from fedvoxel.flare.messages import error_of, result_reply
from fedvoxel.flare.outbound import COHORT_PROPERTY, OutboundFilter
from fedvoxel.flare.reader_study_site import TOLD_FILE, ReaderStudyExecutor, told_of
from fedvoxel.privacy.policy import CohortBudget, NoBudget, PublicCohort, ReaderStudies, grant
from fedvoxel.records.chain import Chain
from fedvoxel.review.finishing import finish_study
from fedvoxel.review.study import load_study
from fedvoxel.volumes.site import SITE_FILE
from tests.flare.test_patient_promises import Site
from tests.review.finished_sample import ACCEPT, PACKAGE, REJECT, STRUCTURES, TOUCH, finished_study, same, say

OPEN = NoBudget(reader_studies=ReaderStudies())
CASES = [*same(ACCEPT, 16), *same(TOUCH, 6), *same(REJECT, 6)]
WORDS = {"cohort": "main", "classes": list(STRUCTURES), "study": "spring", "package": PACKAGE}


class Kit(Site):
    """Is a site with a finished study, whose workspace a job runs in."""

    def __init__(self, folder: Path, entry: Any = OPEN, cases: Any = CASES) -> None:
        super().__init__(folder)
        self.root, self.study = folder, self.local / "reading"
        self.add("main", "p1,p2", entry)
        self.declare("spring", folder="reading", cohort="main")
        finished_study(self.study, cases)

    def declare(self, name: str, **said: str) -> None:
        values = json.loads((self.local / SITE_FILE).read_text())
        values.setdefault("reader_studies", {})[name] = said
        (self.local / SITE_FILE).write_text(json.dumps(values))

    def get_root_dir(self) -> str:
        return str(self.root)

    @property
    def told(self) -> list[dict[str, Any]]:
        path = self.root / "state" / "reader_studies" / "spring" / TOLD_FILE
        return [entry.body for entry in Chain(path).read()] if path.is_file() else []

    def context(self, task: str = "reader_study") -> FLContext:
        context = FLContext()
        context.set_prop(FLContextKey.WORKSPACE_OBJECT, self, private=True)
        context.set_prop(ReservedKey.IDENTITY_NAME, "a", private=True)
        context.set_prop(FLContextKey.CURRENT_RUN, "job-1", private=True)
        context.set_prop(FLContextKey.TASK_NAME, task, private=True)
        return context

    def asked(self, task: str = "reader_study", **words: Any) -> Shareable:
        context = self.context(task)
        reply = ReaderStudyExecutor(**(WORDS | words)).execute(task, Shareable(), context, Signal())
        return OutboundFilter().process(reply, context)  # type: ignore[no-any-return]

    def why_not(self, **words: Any) -> str:
        reply = self.asked(**words)
        assert reply.get_return_code() != ReturnCode.OK
        said = error_of(reply)
        assert "Meier" not in said and str(self.root) not in said and "case-" not in said
        return said

    def filtered(self, answer: dict[str, Any]) -> Shareable:
        context = self.context()
        context.set_prop(COHORT_PROPERTY, "main", private=True, sticky=False)
        return OutboundFilter().process(result_reply({"reading": answer}, {}, False), context)  # type: ignore[no-any-return]


def answer_in(reply: Shareable) -> dict[str, Any]:
    assert reply.get_return_code(ReturnCode.OK) == ReturnCode.OK, error_of(reply)
    return dict(FLModelUtils.from_shareable(reply).meta["reading"])


def test_counts_leave_and_are_kept_and_nothing_else_does(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    reply = kit.asked()
    found = StudyAnswer.model_validate(answer_in(reply))
    assert tuple(found.verdicts.model_dump().values()) == (16, 6, 0, 6)
    assert not any(word in str(reply) for word in ("Meier", "case-", "reader-1", "note"))
    assert answer_in(kit.asked()) == answer_in(reply)
    assert [entry["answer"] for entry in kit.told] == [answer_in(reply)] * 2
    assert kit.told[0]["job_id"] == "job-1" and kit.told[0]["package"] == PACKAGE


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (NoBudget(), "lets nothing of a reader study"),
        (PublicCohort(), "lets nothing of a reader study"),
        (CohortBudget(unit="patient", epsilon=8, delta=1e-2), "this site declined the task"),
        (None, "says nothing about cohort"),
    ],
)
def test_without_the_policys_word_nothing_leaves(tmp_path: Path, entry: Any, words: str) -> None:
    kit = Kit(tmp_path, entry)
    assert words in kit.why_not()
    assert kit.told == []


def test_the_policys_minimum_holds(tmp_path: Path) -> None:
    kit = Kit(tmp_path, NoBudget(reader_studies=ReaderStudies(minimum_cases=8)))
    few = {"schema_version": 1, "minimum_cases": 8, "below_minimum": True}
    assert answer_in(kit.asked()) == few
    grant(kit.local, "main", PublicCohort(reader_studies=ReaderStudies(minimum_cases=7)))
    assert answer_in(kit.asked())["verdicts"] == {
        "accepted": None, "touched_up": "few", "corrected": 0, "rejected": "few"
    }  # fmt: skip


def test_the_filter_lets_no_other_minimum_pass(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    answer = answer_in(kit.asked())
    grant(kit.local, "main", NoBudget(reader_studies=ReaderStudies(minimum_cases=6)))
    with pytest.raises(UpdateError, match="not made with the minimum"):
        kit.filtered(answer)
    grant(kit.local, "main", NoBudget())
    with pytest.raises(FedVoxelError, match="lets nothing of a reader study"):
        kit.filtered(answer)


@pytest.mark.parametrize(
    "change",
    [
        {"reader": "Anna Meier"},
        {"cases": 27},
        {"verdicts": {"accepted": 25, "touched_up": 0, "corrected": 3, "rejected": 0}},
    ],
)
def test_the_filter_lets_no_small_count_and_no_name_pass(tmp_path: Path, change: dict[str, Any]) -> None:
    kit = Kit(tmp_path)
    with pytest.raises(UpdateError, match="may not leave") as caught:
        kit.filtered(answer_in(kit.asked()) | change)
    assert "Meier" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"package": "cd" * 32}, "is of another package"),
        ({"study": "autumn"}, "no reader study 'autumn'"),
        ({"study": "../reading"}, "study: String should match"),
        ({"cohort": "other"}, "says nothing about cohort 'other'"),
        ({"classes": ["anterior"]}, "other structures"),
        ({"task": "train"}, "unknown task 'train'"),
    ],
)
def test_what_does_not_fit_is_not_told(tmp_path: Path, words: dict[str, Any], said: str) -> None:
    kit = Kit(tmp_path)
    assert said in kit.why_not(**words)
    assert kit.told == []


def test_a_study_of_another_cohort_is_not_told_under_a_laxer_policy(tmp_path: Path) -> None:
    kit = Kit(tmp_path, NoBudget())
    kit.add("lax", "p9", OPEN)
    kit.declare("spring", folder="reading", cohort="main")
    assert "is of another cohort" in kit.why_not(cohort="lax")


def test_a_patient_who_is_also_in_a_protected_cohort_keeps_the_study_in(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    kit.add("protected", "p2", CohortBudget(unit="patient", epsilon=8, delta=1e-2))
    kit.declare("spring", folder="reading", cohort="main")
    assert "privacy policy and its cohorts do not go together" in kit.why_not()


def _edit(kit: Kit) -> None:
    path = kit.study / "readers/reader-1/case-000000000000/events/events.jsonl"
    path.write_text(path.read_text().replace('"accept"', '"reject"'))


def _read_on(kit: Kit) -> None:
    say(load_study(kit.study), "reader-1", "case-000000000000", REJECT)


@pytest.mark.parametrize(
    ("spoil", "said"), [(_edit, "not what was written"), (_read_on, "after the study was finished")]
)
def test_a_changed_record_is_not_told(tmp_path: Path, spoil: Callable[[Kit], None], said: str) -> None:
    kit = Kit(tmp_path)
    spoil(kit)
    assert said in kit.why_not()
    assert kit.told == []


def test_a_study_that_went_on_is_not_told_again(tmp_path: Path) -> None:
    """The difference of both answers would be one case."""
    kit = Kit(tmp_path)
    first = answer_in(kit.asked())
    _read_on(kit)
    finish_study(load_study(kit.study))
    assert "told something else of this study before" in kit.why_not()
    assert [entry["answer"] for entry in kit.told] == [first]


def test_too_few_at_first_may_become_enough(tmp_path: Path) -> None:
    kit = Kit(tmp_path, cases=[*same(ACCEPT, 18), None])
    assert answer_in(kit.asked())["below_minimum"] is True
    say(load_study(kit.study), "reader-1", "case-000000000012", ACCEPT)
    finish_study(load_study(kit.study))
    assert answer_in(kit.asked())["cases"] == 19


def test_a_hospital_sees_beforehand_what_it_would_tell(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    asked = ReadArgs.model_validate(WORDS)
    assert told_of(kit.local, asked).model_dump(mode="json") == answer_in(kit.asked())
    grant(kit.local, "main", NoBudget())
    with pytest.raises(FedVoxelError, match="lets nothing of a reader study"):
        told_of(kit.local, asked)
