"""Judges a model from its cases to the result; the plan of a comparison is stated before, its result noted after."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.inference.model import Model
from fedvoxel.evaluation.judgement.comparison import Metric
from fedvoxel.evaluation.judgement.judge import Judge, Judged, judge_all
from fedvoxel.evaluation.judgement.judgement import Frame, Judgement, Other, Settings, make_judgement
from fedvoxel.evaluation.judgement.judgement_page import Views
from fedvoxel.evaluation.judgement.registration import Plan, Question, Stated, note_result, state_plan
from fedvoxel.evaluation.judgement.structure_score import Yardstick
from fedvoxel.evaluation.judgement.subject import Subjects
from fedvoxel.export.description import ModelDescription
from fedvoxel.volumes.split import Split
from fedvoxel.volumes.statistics import MINIMUM_CASES

PICTURED = 8


@dataclass(frozen=True)
class Against:
    """Says with whom a model is compared.

    Attributes:
        kind: With another model, or with a second reader.
        name: What it is called in the report.
        identity: What tells it from others: a package's SHA-256, or the reader as given.
        metric: What is compared.
        margin: How much worse is still good enough; None decides nothing.
        record: The folder in which plans are stated.
        model: The other model; None for a reader.
    """

    kind: Literal["model", "reader"]
    name: str
    identity: str
    metric: Metric
    margin: float | None
    record: Path
    model: Model | None = None


@dataclass(frozen=True)
class Task:
    """Says what is judged, and how.

    Attributes:
        model: The model.
        subjects: The cases.
        cohort: What the cohort is called in the report.
        split: Which patients; None for all.
        tolerance_mm: That of NSD; None for one voxel of the images that the model was made for.
        pieces: Structures whose pieces are counted.
        minimum_patients: No subgroup is of fewer.
        pictured: Of how many cases, the worst, slices are shown.
        against: With whom it is compared.
        remarks: What a reader must know of the package, one sentence each.
    """

    model: Model
    subjects: Subjects
    cohort: str
    split: Split | None
    tolerance_mm: float | None = None
    pieces: frozenset[str] = frozenset()
    minimum_patients: int = MINIMUM_CASES
    pictured: int = PICTURED
    against: Against | None = None
    remarks: tuple[str, ...] = ()


def evaluate(task: Task, progress: Callable[[int, int], None] | None = None) -> tuple[Judgement, Views]:
    """Judges a model.

    Raises:
        ConfigError: A structure is not the model's, models find other structures, the minimum is too small, or another
            margin was stated before this comparison had a result.
        LedgerError: What was stated cannot be read, trusted or written.
    """
    _check(task)
    tolerance = task.tolerance_mm or one_voxel_mm(task.model.package.description)
    other = None if task.against is None else _stated(task, task.against, tolerance)
    second = task.against and task.against.model
    judge = Judge(
        predictor=task.model.predictor,
        yardstick=Yardstick(tolerance, task.pieces),
        temperature=task.model.temperature,
        other=second.predictor if second else None,
        pictured=task.pictured,
    )
    judged = judge_all(judge, task.subjects.cases, progress)
    if task.against is not None and judged.cases:
        note_result(task.against.record, _question(task, task.against))
    return _made(task, judged, tolerance, other), judged.views


def one_voxel_mm(description: ModelDescription) -> float:
    """Returns the size of a voxel of the images that a model was made for, to a tenth of a millimetre.

    That is the largest edge of the grid that its plan fixes, else the geometric middle of the voxels it was made for:
    what a reader who draws voxels can be off by without being wrong.
    """
    spacing = description.plan.spacing_mm
    allowed = description.input.spacing_mm
    size = max(spacing) if spacing else (allowed.low * allowed.high) ** 0.5
    return max(round(size, 1), 0.1)


def _check(task: Task) -> None:
    names = [structure.name for structure in task.model.package.description.structures]
    unknown = sorted(task.pieces - set(names))
    if unknown:
        raise ConfigError(f"--pieces: expected structures of the model ({', '.join(names)}), got {', '.join(unknown)}")
    if task.minimum_patients < MINIMUM_CASES:
        raise ConfigError(f"expected at least {MINIMUM_CASES} patients for a subgroup, got {task.minimum_patients}")
    other = task.against and task.against.model
    if other and [structure.name for structure in other.package.description.structures] != names:
        raise ConfigError(f"the other model does not find {', '.join(names)}, in this order; they cannot be compared")


def _question(task: Task, against: Against) -> Question:
    hospitals = tuple(sorted({subject.hospital for subject in task.subjects.cases}))
    package = task.model.package.sha256
    return Question(package=package, other=against.identity, cohort=task.cohort, split=task.split, hospitals=hospitals)


def _stated(task: Task, against: Against, tolerance_mm: float) -> Other:
    asked = Plan(
        metric=against.metric,
        margin=against.margin,
        tolerance_mm=tolerance_mm if against.metric == "nsd" else None,
    )
    stated: Stated = state_plan(against.record, _question(task, against), asked)
    return Other(against.kind, against.name, stated, against.identity if against.kind == "model" else None)


def _made(task: Task, judged: Judged, tolerance_mm: float, other: Other | None) -> Judgement:
    settings = Settings(
        tolerance_mm=tolerance_mm,
        tolerance_from="asked for" if task.tolerance_mm else "one voxel of the images that the model was made for",
        minimum_patients=task.minimum_patients,
    )
    frame = Frame(task.cohort, task.split, task.subjects.patients_named, settings, other, task.remarks)
    return make_judgement(task.model, judged, frame)
