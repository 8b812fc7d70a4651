"""A provisioned consortium that tests copy kits from."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fedvoxel.governance.consortium import Consortium
from fedvoxel.governance.kit import Kit, open_kit
from tests.consortium_kits import small_consortium


@pytest.fixture(scope="session")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    """The kits of two hospitals, a server and two people; not to be changed."""
    return small_consortium(tmp_path_factory.mktemp("consortium"))


@pytest.fixture
def kit(consortium: Consortium, tmp_path: Path) -> Callable[[str], Kit]:
    """Returns a copy of a participant's kit that a test may spoil."""

    def copy(name: str) -> Kit:
        return open_kit(Path(shutil.copytree(consortium.kit(name), tmp_path / name)))

    return copy
