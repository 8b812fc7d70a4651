"""Scores a run's model on one hospital's own unseen patients, at the hospital, where the run itself sends no scores.

Beside it stands the model that the run began with, where that is in the downloaded job, on the same cases: what the run
has brought to this hospital. Nothing of this leaves by itself.
"""

from pathlib import Path
from statistics import mean
from typing import Literal

from fedvoxel.config import FrozenModel
from fedvoxel.errors import CohortError
from fedvoxel.evaluation.bootstrap import estimate_difference
from fedvoxel.evaluation.job_result import JobResult, open_job_result
from fedvoxel.evaluation.summary import summarise
from fedvoxel.evaluation.trained_job import check_model_is_whole, read_trained_job
from fedvoxel.federation.outcome import SiteScore
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.training.segmenter import Segmenter
from fedvoxel.training.site_trainer import use_compute
from fedvoxel.updates.scores import CaseScore
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import load_weights
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.site import SITE_FILE, load_site_config


class OwnScore(FrozenModel):
    """Is what a run's model is worth at one hospital.

    Attributes:
        run_key: The run.
        site: The hospital.
        privacy: What the run claims; about the training patients, not about these scores.
        model: Scores of the run's model on the hospital's test patients.
        start: Scores of the model that the run began with; None where it drew it from its seed, or it is not at hand.
        gain: Mean Dice over classes, model minus start, paired by case; None without a start, or without a case.
        gain_low: Lower end of its 95 % interval; None with fewer than two cases.
        gain_high: Upper end of it.
    """

    schema_version: Literal[1] = 1
    run_key: str
    site: str
    privacy: str
    model: SiteScore
    start: SiteScore | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None


def score_at_hospital(result: Path, kit: Path) -> OwnScore:
    """Scores a downloaded job's model, and the one it began with, on a hospital's test patients.

    Args:
        result: The folder that download_job made.
        kit: The hospital's kit.

    Raises:
        FedVoxelError: The result or the kit cannot be used.
        CohortError: The cohort has no usable test patient.
    """
    opened = open_job_result(result)
    job, file = read_trained_job(opened), kit.resolve() / "local" / SITE_FILE
    check_model_is_whole(job.task)
    site, task = load_site_config(file), job.task
    cases, _ = load_cases(site, task.cohort, task.classes, task.plan, "test", file.parent)
    if not cases:
        raise CohortError(f"cohort {task.cohort} has no test patient: raise split.test in the site's own file")
    segmenter = Segmenter(task.training, task.classes, use_compute(site.compute))
    scores = segmenter.evaluate(job.model, cases, surfaces=True)
    score = OwnScore(
        run_key=opened.outcome.run_key,
        site=kit.resolve().name,
        privacy=opened.outcome.privacy,
        model=summarise(scores),
    )
    start = _start(opened)
    if start is None:
        return score
    before = segmenter.evaluate(start, cases, surfaces=True)
    gain = estimate_difference(_means(scores), _means(before))
    values = {"start": summarise(before), "gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high}
    return score.model_copy(update=values)


def _start(result: JobResult) -> Arrays | None:
    """Returns the model that the run began with, if it lies in the downloaded job and is the one that was named."""
    named = result.outcome.start_from
    found = (path for path in sorted(result.workspace.glob("*.npz")) if named and sha256_of_file(path) == named.sha256)
    path = next(found, None)
    return load_weights(path) if path else None


def _means(scores: list[CaseScore]) -> list[float]:
    """Returns each case's mean Dice over the classes that it has; 0 where it has none."""
    known = [[value for value in score.dice.values() if value is not None] for score in scores]
    return [mean(values) if values else 0.0 for values in known]
