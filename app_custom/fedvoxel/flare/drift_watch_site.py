"""The site's side of a drift watch: an allow-listed executor that tells counts of the images that a model has met.

What it has told of a package is kept in `state/drift_watches/PACKAGE/`, and of no image is told twice: of two answers
with all but a few images in common, the difference would tell of those few.
"""

from pathlib import Path
from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from fedvoxel.config import parse_config
from fedvoxel.evaluation.drift.summaries import read_signals
from fedvoxel.evaluation.drift.telling import Telling, told_of_images
from fedvoxel.flare.answering_executor import AnsweringExecutor
from fedvoxel.flare.job_args import WatchArgs
from fedvoxel.flare.messages import TASK_DRIFT_WATCH
from fedvoxel.flare.patient_promises import check_promises
from fedvoxel.flare.state_folder import state_folder, workspace_of
from fedvoxel.privacy.policy import load_privacy_policy
from fedvoxel.records.chain import Chain
from fedvoxel.volumes.site import SITE_FILE, load_site_config

TOLD_FILE = "told.jsonl"
"""The chain of what has left about the use of a package."""


class DriftWatchExecutor(AnsweringExecutor):
    """Answers the task drift_watch; the site's policy, minimum and folder hold whatever a job says."""

    tasks, answers_as = (TASK_DRIFT_WATCH,), "watch"

    def __init__(
        self, cohort: str, classes: list[str], model: str, package: str, reference: dict[str, Any], last: int = 100
    ) -> None:
        """Keeps the job's words; they are checked when the task comes.

        Args:
            cohort: The cohort whose patients the model is used on, or such as those.
            classes: What the package marks, in the order of their codes.
            model: The name of the model in the site's own file.
            package: Identity of the package.
            reference: What images in use are held against.
            last: About how many of the newest images at most.
        """
        super().__init__(cohort)
        self.classes, self.model, self.package = classes, model, package
        self.reference, self.last = reference, last

    def answer(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> dict[str, Any]:
        """Returns what is told, once it is noted with the job; a job that asks again is told the same."""
        said = {name: getattr(self, name) for name in WatchArgs.model_fields}
        asked = parse_config(WatchArgs, said, "the job")
        local, state = Path(workspace_of(fl_ctx).get_site_config_dir()).resolve(), state_folder(fl_ctx)
        with Chain(_told_file(state, asked.package)).writing() as chain:
            bodies = [entry.body for entry in chain.entries]
            before: list[dict[str, Any]] = [body for body in bodies if body["job_id"] == fl_ctx.get_job_id()]
            if before:
                return dict(before[-1]["answer"])
            found = _telling(local, asked, _until(bodies))
            answer = found.answer.model_dump(mode="json")
            if found.until is not None:
                chain.append({"answer": answer, "until": found.until, "job_id": fl_ctx.get_job_id()})
        self.log_info(fl_ctx, f"event=drift_watch_told model={asked.model}", fire_event=False)
        return answer


def telling(local: Path, state: Path, asked: WatchArgs) -> Telling:
    """Returns what a site would tell a job; nothing leaves by it, and nothing is noted.

    Args:
        local: The kit's `local/` folder.
        state: The kit's `state/` folder.
        asked: What the job asks for.

    Raises:
        ConfigError: The hospital's policy lets nothing of it leave, or its results are not where its file says.
        CohortError: The site watches no such model.
        LedgerError: The record of what was told cannot be trusted.
    """
    path = _told_file(state, asked.package)
    return _telling(local, asked, _until([entry.body for entry in Chain(path).read()] if path.is_file() else []))


def _telling(local: Path, asked: WatchArgs, since: float | None) -> Telling:
    terms = load_privacy_policy(local).drift_watches(asked.cohort)
    check_promises(local, asked.cohort)
    declared = load_site_config(local / SITE_FILE).drift_watch(asked.model, asked.cohort)
    signals = read_signals(local / declared.folder, asked.package)
    return told_of_images(signals, since, asked, asked.classes, terms.minimum_images)


def _told_file(state: Path, package: str) -> Path:
    return state / "drift_watches" / package / TOLD_FILE


def _until(told: list[dict[str, Any]]) -> float | None:
    """Returns until when images were told of."""
    return max((float(one["until"]) for one in told), default=None)
