"""One consortium with a filled server for the tests of a file; who changes it takes a copy of the server's kit."""

import shutil
from pathlib import Path

import pytest

from fedvoxel.governance.kit import Kit, open_kit
from tests.ops.status.status_sample import Sample, fill, status_consortium


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    made = status_consortium(tmp_path_factory.mktemp("status"))
    fill(made)
    return made


@pytest.fixture
def kit(sample: Sample, tmp_path: Path) -> Kit:
    """A copy of the server's kit."""
    return open_kit(Path(shutil.copytree(sample.server.folder, tmp_path / sample.server.name)))
