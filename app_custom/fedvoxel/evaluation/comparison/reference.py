"""The models that federated ones are compared with: each hospital alone, and everybody's cases in one place."""

from collections.abc import Mapping
from pathlib import Path

from fedvoxel.evaluation.baseline import BaselineKind
from fedvoxel.evaluation.comparison.trial import cases_as_json
from fedvoxel.evaluation.experiment import load_site_cases, train_together
from fedvoxel.training.setup import TrainingTask
from fedvoxel.updates.scores import CaseScore
from fedvoxel.volumes.site import SITE_FILE, ComputeConfig


def train_reference(
    kind: BaselineKind, task: TrainingTask, rounds: int, kits: Mapping[str, Path], threads: int
) -> dict[str, list[dict[str, object]]]:
    """Trains one model and returns its scores of the unseen cases of the hospitals it was trained for, as JSON values.

    Args:
        kind: `local` with one kit, `pooled` with all.
        task: Whose network, optimiser and augmentation are used.
        rounds: As many as the job plans, so that there are as many epochs.
        kits: The hospitals' kits by name.
        threads: Cores to use.

    Raises:
        CohortError: There is no training case.
    """
    cases = {site: load_site_cases(kit / "local" / SITE_FILE, task) for site, kit in kits.items()}
    name = next(iter(cases)) if kind == "local" else "pooled"
    together = [case for one in cases.values() for case in one.training]
    trainer, model = train_together(task, together, name, rounds, ComputeConfig(threads=threads))
    scores: dict[str, tuple[CaseScore, ...]] = {
        site: tuple(trainer.evaluate(model, one.test)) for site, one in cases.items()
    }
    return cases_as_json(scores)
