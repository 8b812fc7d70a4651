"""Draws training samples from prepared cases with MONAI's transforms, reproducibly from (seed, site, round, epoch)."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from monai import transforms as mt

from fedvoxel.training.config import AugmentationConfig, PatchSampling, TrainingConfig, WholeVolumeSampling
from fedvoxel.volumes.plan import PreparedCase

Sample = tuple[torch.Tensor, torch.Tensor]
"""An image (1, X, Y, Z) float32 and its label codes (1, X, Y, Z) float32."""

_KEYS = ("image", "label")


class Samples:
    """Holds a site's training cases and yields the shuffled, augmented samples of an epoch."""

    def __init__(self, config: TrainingConfig, cases: Sequence[PreparedCase], site: str) -> None:
        """Keeps the cases in memory as tensors.

        Args:
            config: The job's training section.
            cases: Training cases; may be empty.
            site: The site's name, which makes its draws differ from the other sites'.
        """
        self._cases = [
            {"image": torch.from_numpy(case.image), "label": torch.from_numpy(case.label[None].astype(np.float32))}
            for case in cases
        ]
        self._draw = mt.Compose([*_sampling(config), *_augmentation(config.augmentation)])
        self._seed, self._site = config.seed, site
        self._repeats = config.sampling.patches_per_case if isinstance(config.sampling, PatchSampling) else 1

    def __len__(self) -> int:
        """Returns the number of samples in an epoch."""
        return len(self._cases) * self._repeats

    @property
    def case_count(self) -> int:
        """Is the number of training cases."""
        return len(self._cases)

    def epoch(self, round_index: int, epoch_index: int) -> Iterator[Sample]:
        """Yields the samples of one epoch in a random order that depends on the seed, site, round and epoch alone."""
        random = _generator(self._seed, self._site, round_index, epoch_index)
        self._draw.set_random_state(seed=int(random.integers(2**32)))
        for index in random.permutation(np.repeat(np.arange(len(self._cases)), self._repeats)):
            drawn = self._draw(dict(self._cases[index]))
            sample = drawn[0] if isinstance(drawn, list) else drawn
            yield sample["image"].contiguous(), sample["label"].contiguous()


def _generator(seed: int, site: str, round_index: int, epoch_index: int) -> np.random.Generator:
    site_code = int.from_bytes(hashlib.sha256(site.encode()).digest()[:4], "big")
    return np.random.default_rng([seed, site_code, round_index, epoch_index])


def _sampling(config: TrainingConfig) -> list[mt.Transform]:
    sampling = config.sampling
    if isinstance(sampling, WholeVolumeSampling):
        room = [length + 2 * config.augmentation.shift_voxels for length in sampling.size]
        return [
            mt.ResizeWithPadOrCropd(_KEYS, room),
            mt.RandSpatialCropd(_KEYS, roi_size=sampling.size, random_size=False),
        ]
    return [
        mt.SpatialPadd(_KEYS, sampling.size),
        mt.RandCropByPosNegLabeld(
            _KEYS,
            label_key="label",
            spatial_size=sampling.size,
            pos=sampling.foreground_fraction,
            neg=1 - sampling.foreground_fraction,
            num_samples=1,
        ),
    ]


def _augmentation(config: AugmentationConfig) -> list[mt.Transform]:
    chosen: list[mt.Transform] = [mt.RandFlipd(_KEYS, prob=0.5, spatial_axis=axis) for axis in config.flip_axes]
    if config.rotation_degrees:
        angle = float(np.deg2rad(config.rotation_degrees))
        ranges = {"range_x": angle, "range_y": angle, "range_z": angle}
        chosen.append(mt.RandRotated(_KEYS, prob=0.5, mode=("bilinear", "nearest"), padding_mode="zeros", **ranges))
    if config.gamma:
        bounds = (1 - config.gamma, 1 + config.gamma)
        chosen.append(mt.RandAdjustContrastd("image", prob=0.5, gamma=bounds, retain_stats=True))
    if config.intensity_scale:
        chosen.append(mt.RandScaleIntensityd("image", factors=config.intensity_scale, prob=1.0))
    if config.noise_std:
        chosen.append(mt.RandGaussianNoised("image", prob=1.0, std=config.noise_std, sample_std=True))
    return chosen
