"""An environment with the real syft-job: this one where it has it, else one of its own beside this one."""

import sys
from importlib.util import find_spec
from pathlib import Path

from tests.own_environment import python_with


def python_with_syft(folder: Path) -> Path:
    """Returns an interpreter; makes its environment in `folder` where there is none."""
    if find_spec("syft_job") is not None:
        return Path(sys.executable)
    return python_with(folder, "constraints.txt", "syft-job>=0.1.40,<0.2")
