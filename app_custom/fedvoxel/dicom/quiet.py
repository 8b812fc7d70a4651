"""Keeps libraries that read DICOM from saying what they read.

pydicom's warnings and log quote values, pynetdicom logs identifiers, highdicom warns with UIDs, and GDCM prints to the
terminal. Nothing of that is ours to repeat: what is wrong with a file is said by our own errors, in kinds and counts.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom import config

TALKATIVE = (
    *("pydicom", "pynetdicom", "highdicom", "pylibjpeg", "libjpeg", "openjpeg", "rle"),
    *("dicomweb_client", "urllib3", "requests", "retrying"),
)
"""Their loggers, and those below them."""

_LOGGERS = tuple(logging.getLogger(name) for name in TALKATIVE)
_SILENT = logging.CRITICAL + 1


def hush() -> None:
    """Silences these libraries for the rest of this process: for a worker process, before its first file.

    Loggers and pydicom's validation of what it reads stay off once they are: nobody in this package wants them back,
    and switching them on again in one thread would let another one talk.
    """
    _silence_libraries()
    warnings.simplefilter("ignore")


@contextmanager
def quiet() -> Iterator[None]:
    """Silences these libraries, and Python's warnings inside the block.

    pydicom converts a value when it is first looked at, so data sets are touched inside such a block, not only read.
    Python's warning filters belong to the process: a block in one thread silences the others too, never the reverse.
    """
    _silence_libraries()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _silence_libraries() -> None:
    for logger in _LOGGERS:
        if logger.level != _SILENT:  # setting a level empties a cache that all loggers share
            logger.setLevel(_SILENT)
    config.settings.reading_validation_mode = config.IGNORE
