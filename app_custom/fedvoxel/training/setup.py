"""What a trainer process is told once, before its first command; JSON both ways."""

from typing import Self

from pydantic import model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.privacy.sections import PrivacySection
from fedvoxel.training.config import TrainingConfig
from fedvoxel.volumes.plan import PreprocessingPlan


class TrainingTask(FrozenModel):
    """Is what a job asks of a site: which cohort, which classes, how to prepare it, what to train.

    Attributes:
        cohort: Name of a cohort in the site's own file.
        classes: Class names; label code 1 + index, 0 background.
        plan: The preprocessing that all sites share.
        training: Network, loss, optimiser, sampling, inference.
        privacy: How each patient, or the hospital as a whole, is protected; None protects nobody.
    """

    cohort: str
    classes: tuple[str, ...]
    plan: PreprocessingPlan
    training: TrainingConfig
    privacy: PrivacySection | None = None

    @model_validator(mode="after")
    def _private_steps_have_no_proximal_term(self) -> Self:
        if self.privacy and self.privacy.unit == "patient" and self.training.proximal_mu is not None:
            raise ValueError("training.proximal_mu: steps that protect each patient do not have it; write null")
        return self


class TrainerSetup(FrozenModel):
    """Is a site's task together with where its data is and what it may use.

    Attributes:
        task: What the job asks for.
        site: The site's name.
        site_file: Absolute path of the site's own `fedvoxel_site.json`.
    """

    task: TrainingTask
    site: str
    site_file: str
