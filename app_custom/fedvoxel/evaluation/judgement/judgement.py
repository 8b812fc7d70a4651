"""What is known of a model after it was judged, as it is written and shown."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

from fedvoxel import __version__
from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.inference.model import Model
from fedvoxel.evaluation.judgement.case_result import CaseResult, Scores, Skipped
from fedvoxel.evaluation.judgement.cautions import cautions_of
from fedvoxel.evaluation.judgement.comparison import Comparison, compare_structure
from fedvoxel.evaluation.judgement.confidence import BAND
from fedvoxel.evaluation.judgement.intervals import CONFIDENCE, RESAMPLES
from fedvoxel.evaluation.judgement.judge import Judged
from fedvoxel.evaluation.judgement.metric_choice import CHOICES
from fedvoxel.evaluation.judgement.registration import Stated
from fedvoxel.evaluation.judgement.structure_score import Finding
from fedvoxel.evaluation.judgement.summary import GroupRow, StructureResult, group_rows, structure_result


class ModelFacts(FrozenModel):
    """Says which model was judged, and what computed it.

    Attributes:
        temperature: What its logits were divided by where confidence was judged; None where the package has no
            calibration, and its confidence is judged as it comes.
    """

    name: str
    version: str
    title: str
    package_sha256: str
    signed_by: str
    signed_at: str
    runtime: str
    temperature: float | None


class DataFacts(FrozenModel):
    """Says on what.

    Attributes:
        cohort: The cohort, or how the files were given.
        split: Which patients; None for all.
        hospitals: Where.
        cases: Judged.
        patients: Whose, in number.
        skipped: Cases that could not be judged.
        patients_named: Whether the lists name the patients; else each case counts as one.
    """

    cohort: str
    split: str | None
    hospitals: tuple[str, ...]
    cases: int
    patients: int
    skipped: int
    patients_named: bool


class Settings(FrozenModel):
    """Says by what."""

    tolerance_mm: float
    tolerance_from: Literal["asked for", "one voxel of the images that the model was made for"]
    minimum_patients: int
    confidence: float = CONFIDENCE
    resamples: int = RESAMPLES
    calibration_band: float = BAND
    software: str = __version__


class ScoreRow(FrozenModel):
    """Is one structure of one case; see `StructureScore`. Pieces are counts of `truth`, `found` and `false`."""

    finding: Finding
    dice: float | None
    nsd: float | None
    hd95_mm: float | None
    truth_ml: float
    predicted_ml: float
    pieces: dict[str, int] | None


class CaseRow(FrozenModel):
    """Is one case, by pseudonyms, with the scores of each structure; see `CaseResult` for the failures."""

    case: str
    patient: str
    hospital: str
    scores: dict[str, ScoreRow]
    other: dict[str, ScoreRow] | None
    remarks: tuple[str, ...]
    failure: str | None
    other_failure: str | None


class Judgement(FrozenModel):
    """Is the whole result; what of it may be handed on, `sharing` says.

    Attributes:
        made_at: When (UTC).
        cautions: What a reader must keep in mind, one sentence each.
        implementations: What computes each metric.
        groups: Subgroups of enough patients.
        cases: The worst first.
        skipped: What was not judged, and why.
    """

    schema_version: Literal[1, 2] = 2
    use: str = "For research use only."
    made_at: str
    model: ModelFacts
    data: DataFacts
    settings: Settings
    cautions: tuple[str, ...]
    implementations: dict[str, str]
    structures: tuple[StructureResult, ...]
    groups: tuple[GroupRow, ...]
    comparison: Comparison | None
    cases: tuple[CaseRow, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class Other:
    """Is whom the model is compared with, and by what that is decided; `package_sha256` is None for a reader."""

    kind: Literal["model", "reader"]
    name: str
    stated: Stated
    package_sha256: str | None = None


@dataclass(frozen=True)
class Frame:
    """Is what surrounds the scores.

    Attributes:
        cohort: Its name.
        split: Which patients; None for all.
        patients_named: Whether the lists name them.
        settings: By what was judged.
        other: With whom the model is compared.
        remarks: What a reader must know of the package, one sentence each.
    """

    cohort: str
    split: str | None
    patients_named: bool
    settings: Settings
    other: Other | None = None
    remarks: tuple[str, ...] = ()


def make_judgement(model: Model, judged: Judged, frame: Frame, now: datetime | None = None) -> Judgement:
    """Sums up all cases."""
    cases, minimum = judged.cases, frame.settings.minimum_patients
    described = model.package.description.structures
    structures = tuple(structure_result(one.name, one.label, cases) for one in described)
    data = DataFacts(
        cohort=frame.cohort,
        split=frame.split,
        hospitals=tuple(sorted({case.hospital for case in cases} | {case.hospital for case in judged.skipped})),
        cases=len(cases),
        patients=len({case.person for case in cases}),
        skipped=len(judged.skipped),
        patients_named=frame.patients_named,
    )
    return Judgement(
        made_at=(now or datetime.now(UTC)).isoformat(timespec="seconds"),
        model=_model_facts(model),
        data=data,
        settings=frame.settings,
        cautions=(*cautions_of(data, structures, cases), *frame.remarks),
        implementations={choice.metric: choice.implementation for choice in CHOICES},
        structures=structures,
        groups=tuple(row for one in described for row in group_rows(one.name, cases, minimum)),
        comparison=_comparison(frame.other, [one.name for one in described], cases, minimum),
        cases=tuple(_row(case) for case in cases),
        skipped=judged.skipped,
    )


def _model_facts(model: Model) -> ModelFacts:
    package = model.package
    said = package.description
    return ModelFacts(
        name=said.name,
        version=said.version,
        title=said.title,
        package_sha256=package.sha256,
        signed_by=str(package.signed_by),
        signed_at=package.signed_at.isoformat(),
        runtime=model.predictor.runtime.name,
        temperature=None if model.calibration is None else model.temperature,
    )


def _comparison(
    other: Other | None, names: Sequence[str], cases: Sequence[CaseResult], minimum: int
) -> Comparison | None:
    if other is None:
        return None
    plan = other.stated.plan
    found = [compare_structure(name, cases, plan.metric, plan.margin, minimum) for name in names]
    return Comparison(
        kind=other.kind,
        name=other.name,
        package_sha256=other.package_sha256,
        metric=plan.metric,
        margin=plan.margin,
        stated_at=None if plan.margin is None else other.stated.at,
        tests=tuple(test for test, _ in found),
        groups=tuple(row for _, rows in found for row in rows),
    )


def _row(case: CaseResult) -> CaseRow:
    return CaseRow(
        case=case.case,
        patient=case.patient,
        hospital=case.hospital,
        scores=_score_rows(case.scores),
        other=None if case.other is None else _score_rows(case.other),
        remarks=case.remarks,
        failure=case.failure,
        other_failure=case.other_failure,
    )


def _score_rows(scores: Scores) -> dict[str, ScoreRow]:
    return {name: ScoreRow(**asdict(score)) for name, score in scores.items()}
