"""What a job says of the Flower app that is to train at its sites: a name and numbers, never code."""

from typing import Annotated

from pydantic import Field

from fedvoxel.config import FrozenModel
from fedvoxel.records.names import AppName

Key = Annotated[str, Field(min_length=1, max_length=80)]
Text = Annotated[str, Field(max_length=200)]


class FlowerConfig(FrozenModel):
    """Has a Flower app train in the place of FedVoxel's own trainer.

    Attributes:
        app: Its name on each site's own list; what is behind the name, each site says for itself.
        run_config: What the app finds in `context.run_config`, and in the message's record `config`.
    """

    app: AppName
    run_config: dict[Key, bool | int | float | Text] = Field(default_factory=dict)
