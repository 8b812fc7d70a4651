"""A finished job on made-up blobs, exported once per process with everything that a package can hold."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from fedvoxel.evaluation.job_result import open_job_result
from fedvoxel.evaluation.trained_job import read_task
from fedvoxel.export.exporting import Beside, export_model
from fedvoxel.export.forms import Forms
from fedvoxel.export.job_model import JobModel, ModelChoice, read_job_model
from fedvoxel.export.model_card import model_card
from fedvoxel.export.package import Package
from fedvoxel.export.provenance import Provenance, provenance_of
from fedvoxel.federation.outcome import RoundRecord
from fedvoxel.records.atomic import write_json
from fedvoxel.training.setup import TrainingTask
from tests.export.made_calibration import made_calibration
from tests.export.package_sample import description_values, sample_description, sample_signer, structure
from tests.export.throwaway_root import NOW
from tests.finished_job import blob_task, finished_job
from tests.sample_run import site_score

SITES = ("hospital-a", "hospital-b")
INFERENCE = {"roi_size": [16, 16, 16]}
LABELS = {"structures": [structure("blob", label="Bright blob")], "inference": INFERENCE}


def told_job(folder: Path, task: TrainingTask | None = None, **said: Any) -> Path:
    """A finished job whose outcome tells case counts and scores."""
    rounds = tuple(
        RoundRecord(round=index, seconds=1.0, contributed={"hospital-a": 9, "hospital-b": 4}) for index in range(3)
    )
    tests = {"hospital-a": _score("blob"), "hospital-b": _score("blob", 0.7)}
    told = {"rounds": rounds, "test": tests, "versions": {"fedvoxel": "0.1.0", "nvflare": "2.9.0"}} | said
    return finished_job(folder, task or blob_task(), **told)


def job_model(job: Path, choice: ModelChoice = "best") -> JobModel:
    """A model of a downloaded job."""
    opened = open_job_result(job)
    return read_job_model(opened.workspace, opened.outcome, read_task(opened), choice)


@cache
def exported_with_forms() -> tuple[Package, Forms]:
    """The blob job's package, signed by the throw-away consortium's lead, and the forms in it."""
    folder = Path(mkdtemp(prefix="fedvoxel_test_"))
    model = job_model(told_job(folder))
    calibration = made_calibration(model.file.sha256).model_dump_json().encode()
    beside = Beside(calibration=calibration, licence="Ours.\n", audit_head="3e" * 32)
    return export_model(model, sample_description(**LABELS), sample_signer(), folder, NOW, beside)


def exported() -> Package:
    """The blob job's package."""
    return exported_with_forms()[0]


def told_of(model: JobModel) -> tuple[Provenance, str]:
    """The provenance and the model card of another model of the same network."""
    provenance = provenance_of(model, exported_with_forms()[1], None)
    return provenance, model_card(sample_description(**LABELS), provenance).decode()


def description_file(folder: Path, **changes: Any) -> Path:
    """A description as a person writes it: without plan and window."""
    values = description_values(structures=LABELS["structures"]) | changes
    path = folder / "model.json"
    write_json(path, {key: value for key, value in values.items() if key not in ("plan", "inference")})
    return path


def _score(name: str, dice: float = 0.8) -> Any:
    score = site_score(5, dice)
    return score.model_copy(update={"classes": {name: next(iter(score.classes.values()))}})
