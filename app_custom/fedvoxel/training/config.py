"""The training section of a job: what is trained, how, for how long.

Names of networks, losses and optimisers are those of MONAI and PyTorch; arguments are JSON values. Parsing needs
neither torch nor MONAI.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError
from fedvoxel.training.flower_config import FlowerConfig

Size = tuple[
    Annotated[int, Field(ge=8, le=1024)], Annotated[int, Field(ge=8, le=1024)], Annotated[int, Field(ge=4, le=1024)]
]
Fraction = Annotated[float, Field(ge=0, le=1)]
Patterns = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(min_length=1)]


class ComponentConfig(FrozenModel):
    """Names a class of MONAI or PyTorch and its arguments."""

    name: str = Field(min_length=1, max_length=80, pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    arguments: dict[str, Any] = Field(default_factory=dict)


class OptimizerConfig(FrozenModel):
    """Configures a site's optimiser.

    Attributes:
        name: A class of `torch.optim`, or MuonAdamW (Muon for kernels, AdamW for the rest).
        learning_rate: Peak learning rate.
        arguments: Further arguments of the class.
        keep_state: Whether moments live on from round to round at the site, or start anew each round.
    """

    name: Literal["SGD", "Adam", "AdamW", "NAdam", "RAdam", "MuonAdamW"] = "AdamW"
    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    arguments: dict[str, Any] = Field(default_factory=dict)
    keep_state: bool = True


class ScheduleConfig(FrozenModel):
    """Configures the learning rate over all steps of all rounds.

    Attributes:
        name: `constant`, or `cosine` from the peak down to `final_factor` times the peak.
        warmup_fraction: Share of all steps over which the rate rises linearly from 0.
        final_factor: Last rate over peak rate.
    """

    name: Literal["constant", "cosine"] = "cosine"
    warmup_fraction: Fraction = 0.0
    final_factor: Fraction = 0.0


class AugmentationConfig(FrozenModel):
    """Configures random changes of training samples; zeros switch each off.

    Attributes:
        shift_voxels: Largest random shift of a whole volume, in voxels per axis.
        noise_std: Largest standard deviation of Gaussian noise, in units of the normalised image.
        intensity_scale: Largest relative change of intensity.
        gamma: Largest relative change of the exponent of a gamma curve.
        flip_axes: Spatial axes (0, 1, 2) flipped with probability one half.
        rotation_degrees: Largest rotation about each axis, in degrees.
    """

    shift_voxels: int = Field(default=0, ge=0, le=64)
    noise_std: float = Field(default=0.0, ge=0, le=2)
    intensity_scale: Fraction = 0.0
    gamma: Fraction = 0.0
    flip_axes: tuple[Literal[0, 1, 2], ...] = ()
    rotation_degrees: float = Field(default=0.0, ge=0, le=180)


class WholeVolumeSampling(FrozenModel):
    """Trains on whole volumes, padded or cropped about the centre to `size` voxels (X, Y, Z)."""

    kind: Literal["whole"]
    size: Size


class PatchSampling(FrozenModel):
    """Trains on random patches of `size` voxels (X, Y, Z).

    Attributes:
        size: Patch size in voxels.
        patches_per_case: Patches drawn from each case in an epoch.
        foreground_fraction: Chance that a patch is centred on a labelled voxel.
    """

    kind: Literal["patch"]
    size: Size
    patches_per_case: int = Field(default=2, ge=1, le=64)
    foreground_fraction: Fraction = 0.5


class InferenceConfig(FrozenModel):
    """Configures sliding-window inference.

    Attributes:
        roi_size: Window in voxels (X, Y, Z).
        overlap: Overlap of neighbouring windows.
        batch_size: Windows per forward pass.
    """

    roi_size: Size
    overlap: float = Field(default=0.25, ge=0, lt=1)
    batch_size: int = Field(default=1, ge=1, le=64)


class Ditto(FrozenModel):
    """Configures a personal model beside the common one: each minimises F_k(v) + strength / 2 ||v - w^t||^2.

    It never leaves the site, and is scored on its unseen cases.

    Attributes:
        strength: How near it is held to the common model; 0.1 holds it loosely.
        steps_per_round: Its steps in a round, the same at every site, so that a small one trains it as long as a large
            one does; null takes as many epochs as the common model.

    Source: Li et al., "Ditto: Fair and Robust Federated Learning Through Personalization", ICML 2021, Algorithm 1, with
    lambda = `strength`.
    """

    name: Literal["ditto"]
    strength: float = Field(default=0.1, gt=0, le=1000)
    steps_per_round: int | None = Field(default=None, ge=1, le=100_000)


class FineTuned(FrozenModel):
    """Configures a personal model that is the finished common model, trained further at each site.

    It is trained once, when the rounds are over and the site scores the tested model; the learning-rate schedule runs
    over its steps anew. It never leaves the site, and is scored on its unseen cases.

    Attributes:
        steps: Its steps, the same at every site.
        learning_rate: At the schedule's peak; null takes the optimiser's.
        share: How far the personal model goes from the common one, w, to the one trained further, v:
            (1 - share) w + share v.

    Source: Yu, Bagdasaryan and Shmatikov, "Salvaging Federated Learning by Local Adaptation", 2020, section 3.1;
    Wortsman et al., "Robust Fine-tuning of Zero-shot Models", CVPR 2022, section 3, with alpha = `share`.
    """

    name: Literal["fine_tuned"]
    steps: int = Field(ge=1, le=100_000)
    learning_rate: float | None = Field(default=None, gt=0, le=10)
    share: float = Field(default=1.0, gt=0, le=1)


Personal = Annotated[Ditto | FineTuned, Field(discriminator="name")]


_WITH_AN_APP = {"network", "sampling", "inference", "seed", "flower"}
"""What of a training section counts where a Flower app trains."""


class TrainingConfig(FrozenModel):
    """Is the whole training section of a job.

    Attributes:
        network: A class of `monai.networks.nets`; spatial_dims, in_channels and out_channels are filled in.
        loss: A class of `monai.losses`; to_onehot_y and softmax are filled in where it has them.
        epochs_per_round: Passes over a site's training cases in one round.
        batch_size: Samples per step.
        mixed_precision: Whether a GPU computes in bfloat16 or float16 where that is safe; no effect on gradients where
            each patient is protected.
        cpu_bfloat16: Whether a CPU that has bfloat16 arithmetic (AVX-512 BF16, AMX) computes in it too, as a GPU does;
            another CPU stays with float32.
        gradient_clip_norm: Largest l2 norm of a step's gradient, or null.
        proximal_mu: FedProx's mu, the strength with which a round's weights are held near those it began with, or null.
        site_local: FedBN: patterns of the parameters that each site trains for itself, mostly those of its
            normalisation layers. They never leave; the common model keeps their initial values. Null keeps none back.
            Source: Li et al., "FedBN: Federated Learning on Non-IID Features via Local Batch Normalization", ICLR 2021.
        personal: A model of each site's own beside the common one, or null.
        trainable: Patterns of the parameters that are trained ("*.bias", "model.2.*"), as `fnmatch` has them; the rest
            stays as it is. Null trains all.
        average_decay: Decay of the moving average of a round's weights, which is returned in the place of the last
            weights; null returns the last.
        seed: Makes initial weights, sampling and augmentation reproducible; 0 or more.
        flower: Has a Flower app of each site train, or null; only network, sampling, inference and seed go with it.
    """

    network: ComponentConfig
    loss: ComponentConfig = ComponentConfig(name="DiceCELoss")
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    sampling: Annotated[WholeVolumeSampling | PatchSampling, Field(discriminator="kind")]
    inference: InferenceConfig
    epochs_per_round: int = Field(default=1, ge=1, le=1000)
    batch_size: int = Field(default=1, ge=1, le=256)
    mixed_precision: bool = True
    cpu_bfloat16: bool = False
    gradient_clip_norm: float | None = Field(default=None, gt=0)
    proximal_mu: float | None = Field(default=None, gt=0, le=1000)
    site_local: Patterns | None = None
    personal: Personal | None = None
    trainable: Patterns | None = None
    average_decay: float | None = Field(default=None, gt=0, lt=1)
    seed: int = Field(default=1, ge=0, lt=2**32)
    flower: FlowerConfig | None = None

    @model_validator(mode="after")
    def _an_app_trains_in_its_own_way(self) -> Self:
        for name, field in type(self).model_fields.items() if self.flower else ():
            if name not in _WITH_AN_APP and getattr(self, name) != field.default:
                raise ValueError(
                    f"training.{name}: the sites' Flower app trains, and does not look at it: leave it out, and write "
                    "what the app goes by in training.flower.run_config"
                )
        return self

    @model_validator(mode="after")
    def _shift_needs_whole_volumes(self) -> Self:
        if self.augmentation.shift_voxels and self.sampling.kind != "whole":
            raise ValueError("augmentation.shift_voxels goes with sampling.kind 'whole'; patches move by themselves")
        return self

    @model_validator(mode="after")
    def _one_way_to_be_personal(self) -> Self:
        if self.site_local and self.personal:
            raise ValueError("training.site_local and training.personal are two ways to the same end: write one")
        return self


def check_goes_with_correction(config: TrainingConfig) -> None:
    """Checks that a section has nothing that SCAFFOLD and FedDyn, which the server names, do not reckon with.

    Raises:
        ConfigError: It has.
    """
    for name in ("proximal_mu", "site_local", "flower"):
        if getattr(config, name) is not None:
            raise ConfigError(f"training.{name} and rounds.correction do not go together: take one out")
