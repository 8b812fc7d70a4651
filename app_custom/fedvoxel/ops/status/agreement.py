"""What hospitals see of one another on the status page, as the consortium has agreed: the least, if nothing is said."""

from pathlib import Path
from typing import Literal

from fedvoxel.config import FrozenModel, load_json_config

AGREEMENT_FILE = "fedvoxel_status.json"
"""The agreement's name in the `local/` folder of the server's kit."""

Others = Literal["nothing", "state", "everything"]
"""Of another hospital: nothing; under a pseudonym what its sites are at; all that it sees of itself."""


class Agreement(FrozenModel):
    """Is what was agreed."""

    schema_version: Literal[1] = 1
    others: Others = "nothing"


def load_agreement(local: Path) -> Agreement:
    """Reads the agreement from the `local/` folder of the server's kit; the least where there is none.

    Raises:
        ConfigError: It is damaged, or says something that is not known.
    """
    path = local / AGREEMENT_FILE
    if not path.exists() and not path.is_symlink():
        return Agreement()
    return load_json_config(Agreement, path, "what hospitals see of one another on the status page")
