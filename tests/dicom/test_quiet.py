"""What libraries say of a header stays unsaid."""

import logging
import warnings

import pynetdicom  # noqa: F401  (makes its loggers)
import pytest
from pydicom import Dataset

from fedvoxel.dicom.quiet import TALKATIVE, hush, quiet

SECRET = "Quasimodo^Esmeralda"


@pytest.mark.parametrize("name", [*TALKATIVE, "pynetdicom.acse", "pynetdicom.events", "highdicom.image"])
def test_libraries_are_not_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), quiet():
        for level in (logging.INFO, logging.WARNING, logging.CRITICAL):
            logging.getLogger(name).log(level, SECRET)
    assert caplog.records == []


def test_a_value_that_breaks_the_rules_raises_no_warning() -> None:
    with quiet():
        made = Dataset()
        made.PatientBirthDate = SECRET
        made.StudyInstanceUID = SECRET
    with pytest.raises(UserWarning, match="a second time"):  # outside the block warnings are what they were
        warnings.warn("a second time", UserWarning, stacklevel=1)


def test_hush_holds_for_the_rest_of_a_process() -> None:
    with warnings.catch_warnings():
        hush()
        made = Dataset()
        made.PatientBirthDate = SECRET
        warnings.warn(SECRET, UserWarning, stacklevel=1)
