"""What a trainer process is told once, before its first command; JSON both ways."""

from typing import Self

from pydantic import model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.privacy.sections import PrivacySection
from fedvoxel.records.canonical import sha256_of
from fedvoxel.training.config import FineTuned, TrainingConfig
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

    @property
    def identity(self) -> str:
        """Is the hash by which sites tell that they train the same; the one of releases that knew no Flower apps."""
        unknown = {"training": {"flower"}} if self.training.flower is None else None
        return sha256_of(self.model_dump(mode="json", exclude=unknown))

    @model_validator(mode="after")
    def _apps_protect_no_patient(self) -> Self:
        if self.privacy and self.privacy.unit == "patient" and self.training.flower:
            raise ValueError(
                "training.flower: nobody clips and noises a Flower app's gradients, so that it protects no patient; "
                "write null, or privacy of the hospital"
            )
        return self

    @model_validator(mode="after")
    def _private_steps_are_plain(self) -> Self:
        if self.privacy and self.privacy.unit == "patient":
            for name in ("proximal_mu", "site_local", "personal"):
                if getattr(self.training, name) is not None:
                    raise ValueError(f"training.{name}: steps that protect each patient do not have it; write null")
        return self

    @model_validator(mode="after")
    def _tuning_needs_scores(self) -> Self:
        if self.privacy and isinstance(self.training.personal, FineTuned):
            raise ValueError(
                "training.personal: a model is fine-tuned when its site scores it, and no site does under a privacy "
                "section; write null, or ditto with privacy of the hospital"
            )
        return self

    @model_validator(mode="after")
    def _shares_are_no_steps(self) -> Self:
        if self.privacy and self.privacy.unit == "patient" and self.privacy.shared_noise:
            for name in ("optimizer", "schedule", "average_decay"):
                if getattr(self.training, name) != TrainingConfig.model_fields[name].default:
                    raise ValueError(
                        f"training.{name}: with privacy.shared_noise the server takes the step, along the sum of all "
                        "sites' gradients; leave it out, and set rounds.server_optimizer"
                    )
        return self


class TrainerSetup(FrozenModel):
    """Is a site's task together with where its data is and what it may use.

    Attributes:
        task: What the job asks for.
        site: The site's name.
        site_file: Absolute path of the site's own `fedvoxel_site.json`.
        state_folder: Absolute path of the run's folder in the site's state.
    """

    task: TrainingTask
    site: str
    site_file: str
    state_folder: str
