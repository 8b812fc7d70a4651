"""Makes the picture of unseen cases: one per hospital, where all of them can be looked at in one place."""

from collections.abc import Mapping

from fedvoxel.evaluation.experiment import SiteCases
from fedvoxel.evaluation.figures import Picture
from fedvoxel.evaluation.pictures import OverlayCase, overlay_picture
from fedvoxel.training.scoring import score_case
from fedvoxel.training.setup import TrainingTask
from fedvoxel.training.trainer import Trainer
from fedvoxel.updates.update import Arrays
from fedvoxel.volumes.plan import PreparedCase


def unseen_picture(
    task: TrainingTask, model: Arrays, sites: Mapping[str, SiteCases], largest: int = 4
) -> Picture | None:
    """Draws each hospital's test case of median Dice with the outline of truth and prediction.

    Args:
        task: The job's task; its plan brings volumes to RAS, as the picture expects.
        model: Weights to predict with.
        sites: Cases by site.
        largest: Most hospitals shown.

    Returns:
        The picture, or None where no site has a test case.
    """
    trainer = Trainer(task.training, task.classes, (), "picture", "cpu")
    rows: list[OverlayCase] = []
    for site, cases in sites.items():
        if cases.test and len(rows) < largest:
            rows.append(_median_case(trainer, model, site, cases.test))
    return overlay_picture(rows) if rows else None


def _median_case(trainer: Trainer, model: Arrays, site: str, cases: tuple[PreparedCase, ...]) -> OverlayCase:
    scores = trainer.evaluate(model, cases)
    ranked = sorted(range(len(cases)), key=lambda index: sum(value or 0 for value in scores[index].dice.values()))
    chosen = cases[ranked[len(ranked) // 2]]
    predicted = trainer.predict(chosen.image)
    score = score_case(chosen.case, predicted, chosen.label, trainer.classes, chosen.spacing_mm, surfaces=False)
    return OverlayCase(chosen.case, site, chosen.image[0], chosen.label, predicted, chosen.spacing_mm, score.dice)
