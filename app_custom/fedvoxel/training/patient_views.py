"""Draws augmented views of patients: the same patient, site and step give the same views, whoever else there is."""

from collections.abc import Iterator, Sequence
from itertools import chain, count, islice

import torch

from fedvoxel.training.config import TrainingConfig
from fedvoxel.training.samples import Samples
from fedvoxel.volumes.plan import PreparedCase

Views = tuple[torch.Tensor, torch.Tensor]
"""Images and label codes of some patients, both (patients, views, 1, X, Y, Z) float32."""


class PatientViews:
    """Holds a site's patients and draws views of their scans.

    A patient's draws depend on the seed, the site, the round, the step and that patient's own scans. Were they taken
    from one stream for all, one patient less would change everybody's views, and the clip would bound nothing.
    """

    def __init__(
        self, config: TrainingConfig, patients: Sequence[Sequence[PreparedCase]], site: str, views: int
    ) -> None:
        """Keeps the scans in memory as tensors.

        Args:
            config: The job's training section.
            patients: All training scans of each patient; no patient at all is allowed, one without a scan is not.
            site: The site's name.
            views: Views per patient and step; several scans take turns in a random order.
        """
        self._views = views
        self._samples = [Samples(config, scans, f"{site}/{min(scan.case for scan in scans)}") for scans in patients]

    def __len__(self) -> int:
        """Returns the number of patients."""
        return len(self._samples)

    def draw(self, patients: Sequence[int], round_index: int, step: int) -> Views:
        """Draws the views of some patients, named by index, for one step of a round; at least one patient."""
        images, codes = zip(*(self._of_one(self._samples[one], round_index, step) for one in patients), strict=True)
        return torch.stack(images), torch.stack(codes)

    def in_groups(self, patients: Sequence[int], size: int, round_index: int, step: int) -> Iterator[Views]:
        """Yields the views of some patients, `size` of them at a time; none where there is no patient."""
        for first in range(0, len(patients), size):
            yield self.draw(patients[first : first + size], round_index, step)

    def _of_one(self, samples: Samples, round_index: int, step: int) -> Views:
        # No step draws more epochs than it has views, so that no two steps share one.
        epochs = (samples.epoch(round_index, step * self._views + again) for again in count())
        drawn = islice(chain.from_iterable(epochs), self._views)
        images, codes = zip(*drawn, strict=True)
        return _stack(images), _stack(codes)


def _stack(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Stacks MONAI's tensors without their metadata, which vmap cannot carry."""
    return torch.stack([tensor.as_subclass(torch.Tensor) for tensor in tensors])
