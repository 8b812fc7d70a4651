"""A calibration is made once for all tests."""

import pytest

from fedvoxel.federation.calibration.calibration import Calibration
from tests.evaluation.uncertainty import blobs


@pytest.fixture(scope="session")
def calibration() -> Calibration:
    """Two hospitals' calibration."""
    return blobs.calibration()
