"""What a Flower app finds at a site besides its message. Loads only where Flower is installed (the extra `flower`)."""

from collections.abc import Sequence

import torch
from flwr.app import Context, RecordDict

from fedvoxel.training.flower_config import FlowerConfig
from fedvoxel.training.networks import build_network
from fedvoxel.training.setup import TrainingTask
from fedvoxel.volumes.plan import PreparedCase


class SiteContext(Context):
    """Is the context of every call of a site's app: Flower's own, with the cases and the job beside it.

    `state` lives as long as the trainer process; a process that was started anew begins with an empty one. There are
    no partitions, and `node_config` is empty.

    Attributes:
        cases: The cohort's training cases, prepared by the job's plan, without patients who were excluded. An app that
            reads patients from elsewhere goes past the hospital's list of exclusions and its record of who was used.
        task: What the job asks for: classes, plan, training section.
    """

    def __init__(self, flower: FlowerConfig, task: TrainingTask, cases: Sequence[PreparedCase]) -> None:
        super().__init__(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=dict(flower.run_config))
        self.task, self.cases = task, tuple(cases)

    def network(self) -> torch.nn.Module:
        """Builds the network that the job names, whose arrays have the names of those in the message."""
        return build_network(self.task.training.network, len(self.task.classes) + 1, self.task.training.seed)
