"""A site's part of a drift watch: its policy, its minimum and what it has told before hold whatever a job asks."""

import json
from pathlib import Path
from typing import Any

import pytest
from nvflare.apis.fl_constant import FLContextKey, ReservedKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.errors import ConfigError, FedVoxelError, UpdateError
from fedvoxel.federation.drift.answers import WatchAnswer
from fedvoxel.flare.drift_watch_site import TOLD_FILE, DriftWatchExecutor, telling
from fedvoxel.flare.job_args import WatchArgs
from fedvoxel.flare.messages import error_of, result_reply
from fedvoxel.flare.outbound import COHORT_PROPERTY, OutboundFilter
from fedvoxel.privacy.policy import CohortBudget, DriftWatches, NoBudget, PublicCohort, grant
from fedvoxel.records.chain import Chain
from fedvoxel.volumes.site import SITE_FILE
from tests.evaluation.drift.test_watch import results
from tests.federation.drift.test_answers import PACKAGE, question
from tests.flare.test_patient_promises import Site

OPEN = NoBudget(drift_watches=DriftWatches())
MODEL = {"package_sha256": PACKAGE}
WORDS: dict[str, Any] = question().model_dump(mode="json") | {"cohort": "main", "classes": ["blob", "dot"]}


class Kit(Site):
    """Is a site with results of a model in use, whose workspace a job runs in."""

    def __init__(self, folder: Path, entry: Any = OPEN, count: int = 40) -> None:
        super().__init__(folder)
        self.root, self.results = folder, self.local / "results"
        self.add("main", "p1,p2", entry)
        self.declare()
        self.results.mkdir()
        self.use(count)

    def declare(self) -> None:
        values = json.loads((self.local / SITE_FILE).read_text())
        watches = {"blobs": {"folder": "results", "cohort": "main"}}
        (self.local / SITE_FILE).write_text(json.dumps(values | {"drift_watches": watches}))

    def use(self, count: int, first: int = 0) -> None:
        results(self.results, count, 1.3, first=first, model=MODEL)

    def get_root_dir(self) -> str:
        return str(self.root)

    @property
    def told(self) -> list[dict[str, Any]]:
        path = self.root / "state" / "drift_watches" / PACKAGE / TOLD_FILE
        return [entry.body for entry in Chain(path).read()] if path.is_file() else []

    def context(self, task: str, job: str) -> FLContext:
        context = FLContext()
        context.set_prop(FLContextKey.WORKSPACE_OBJECT, self, private=True)
        context.set_prop(ReservedKey.IDENTITY_NAME, "a", private=True)
        context.set_prop(FLContextKey.CURRENT_RUN, job, private=True)
        context.set_prop(FLContextKey.TASK_NAME, task, private=True)
        return context

    def asked(self, task: str = "drift_watch", job: str = "job-1", **words: Any) -> Shareable:
        context = self.context(task, job)
        reply = DriftWatchExecutor(**(WORDS | words)).execute(task, Shareable(), context, Signal())
        return OutboundFilter().process(reply, context)  # type: ignore[no-any-return]

    def why_not(self, **words: Any) -> str:
        reply = self.asked(**words)
        assert reply.get_return_code() != ReturnCode.OK
        said = error_of(reply)
        assert str(self.root) not in said and "study-" not in said
        return said

    def filtered(self, answer: dict[str, Any]) -> Shareable:
        context = self.context("drift_watch", "job-1")
        context.set_prop(COHORT_PROPERTY, "main", private=True, sticky=False)
        return OutboundFilter().process(result_reply({"watch": answer}, {}, False), context)  # type: ignore[no-any-return]


def answer_in(reply: Shareable) -> dict[str, Any]:
    assert reply.get_return_code(ReturnCode.OK) == ReturnCode.OK, error_of(reply)
    return dict(FLModelUtils.from_shareable(reply).meta["watch"])


def test_counts_leave_and_are_kept_and_nothing_else_does(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    reply = kit.asked()
    found = WatchAnswer.model_validate(answer_in(reply))
    assert found.images == 40 and found.volumes["dot"] is None and found.volumes["blob"]
    assert not any(word in str(reply) for word in ("study-", "summary", "until"))
    (told,) = kit.told
    assert told["answer"] == answer_in(reply) and told["job_id"] == "job-1" and told["until"] == 1039.0


def test_of_no_image_is_told_twice_but_to_the_same_job(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    first = answer_in(kit.asked())
    kit.use(1, first=100)
    assert answer_in(kit.asked()) == first
    assert answer_in(kit.asked(job="job-2")) == {"schema_version": 1, "minimum_images": 5, "below_minimum": True}
    kit.use(22, first=200)
    second = answer_in(kit.asked(job="job-3"))
    assert second["images"] == 23 and [one["job_id"] for one in kit.told] == ["job-1", "job-3"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (NoBudget(), "lets nothing of a drift watch"),
        (PublicCohort(), "lets nothing of a drift watch"),
        (CohortBudget(unit="patient", epsilon=8, delta=1e-2), "this site declined the task"),
        (None, "says nothing about cohort"),
    ],
)
def test_without_the_policys_word_nothing_leaves(tmp_path: Path, entry: Any, words: str) -> None:
    kit = Kit(tmp_path, entry)
    assert words in kit.why_not()
    assert kit.told == []


def test_the_policys_minimum_holds(tmp_path: Path) -> None:
    kit = Kit(tmp_path, NoBudget(drift_watches=DriftWatches(minimum_images=21)))
    assert answer_in(kit.asked())["below_minimum"] is True and kit.told == []
    grant(kit.local, "main", PublicCohort(drift_watches=DriftWatches(minimum_images=9)))
    counts = answer_in(kit.asked())["distances"]["counts"]
    assert sum(counts) == 40 and all(count == 0 or count >= 9 for count in counts)


def test_the_filter_lets_no_other_minimum_pass(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    answer = answer_in(kit.asked())
    grant(kit.local, "main", NoBudget(drift_watches=DriftWatches(minimum_images=6)))
    with pytest.raises(UpdateError, match="not made with the minimum of images"):
        kit.filtered(answer)
    grant(kit.local, "main", NoBudget())
    with pytest.raises(FedVoxelError, match="lets nothing of a drift watch"):
        kit.filtered(answer)


@pytest.mark.parametrize(
    "change",
    [
        {"patient": "Anna Meier"},
        {"images": 39},
        {"distances": {"edges": [1.0, 2.0, 3.0], "counts": [2, 38, 0, 0]}},
        {"unusual": 3},
        {"volumes": {"blob": {"images": 38, "mean_log": 1.0}, "dot": None}},
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
        ({"model": "dots"}, "no drift watch 'dots'"),
        ({"model": "../results"}, "model: String should match"),
        ({"cohort": "other"}, "says nothing about cohort 'other'"),
        ({"classes": ["blob"]}, "must name the classes"),
        ({"last": 10}, "last"),
        ({"task": "train"}, "unknown task 'train'"),
    ],
)
def test_what_does_not_fit_is_not_told(tmp_path: Path, words: dict[str, Any], said: str) -> None:
    kit = Kit(tmp_path)
    assert said in kit.why_not(**words)
    assert kit.told == []


def test_images_of_another_package_are_not_counted(tmp_path: Path) -> None:
    assert answer_in(Kit(tmp_path).asked(package="cd" * 32))["below_minimum"] is True


def test_a_folder_that_is_not_there_is_no_stable_model(tmp_path: Path) -> None:
    kit = Kit(tmp_path, count=0)
    kit.results.rmdir()
    assert "expected the folder in which fedvoxel predict has written" in kit.why_not()


def test_a_watch_of_another_cohort_is_not_told_under_a_laxer_policy(tmp_path: Path) -> None:
    kit = Kit(tmp_path, NoBudget())
    kit.add("lax", "p9", OPEN)
    kit.declare()
    assert "is of another cohort" in kit.why_not(cohort="lax")


def test_a_patient_who_is_also_in_a_protected_cohort_keeps_the_watch_in(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    kit.add("protected", "p2", CohortBudget(unit="patient", epsilon=8, delta=1e-2))
    kit.declare()
    assert "privacy policy and its cohorts do not go together" in kit.why_not()


def test_a_record_that_was_changed_stops_the_watch(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    kit.asked()
    path = kit.root / "state" / "drift_watches" / PACKAGE / TOLD_FILE
    path.write_text(path.read_text().replace("1039.0", "999.0"))
    assert kit.why_not(job="job-2")


def test_a_hospital_sees_beforehand_what_it_would_tell(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    asked, state = WatchArgs.model_validate(WORDS), tmp_path / "state"
    before = telling(kit.local, state, asked).answer.model_dump(mode="json")
    assert kit.told == [] and before == answer_in(kit.asked())
    assert telling(kit.local, state, asked).until is None
    grant(kit.local, "main", NoBudget())
    with pytest.raises(ConfigError, match="lets nothing of a drift watch"):
        telling(kit.local, state, asked)
