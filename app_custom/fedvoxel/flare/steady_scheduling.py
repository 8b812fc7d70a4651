"""Has FLARE's scheduling go on after an error, such as a job that somebody deletes while it is being started.

FLARE starts and ends jobs in two threads, and each ends for good at the first error that it does not expect: the
server then looks well and starts no job any more.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

_PAUSE_S = 1.0

_logger = logging.getLogger(__name__)


def outlive_errors(job_runner: Any) -> None:
    """Has both loops of FLARE's job runner begin again after an error, until it is asked to stop.

    Args:
        job_runner: FLARE's `JobRunner`, before it runs.
    """
    job_runner._job_complete_process = _once(_begun_again(job_runner, job_runner._job_complete_process))
    job_runner.run = _begun_again(job_runner, job_runner.run)


def _begun_again(job_runner: Any, loop: Callable[[Any], None]) -> Callable[[Any], None]:
    def goes_on(argument: Any) -> None:
        while True:
            try:
                return loop(argument)
            except Exception as error:  # whatever FLARE makes of a job that is gone, or of a disk
                _logger.exception("event=scheduling_goes_on type=%s", type(error).__name__)
            if job_runner.ask_to_stop:
                return None
            time.sleep(_PAUSE_S)

    return goes_on


def _once(loop: Callable[[Any], None]) -> Callable[[Any], None]:
    """Returns a loop that runs once: the other one starts it each time that it begins."""
    begun = threading.Lock()

    def runs_once(argument: Any) -> None:
        if begun.acquire(blocking=False):
            loop(argument)

    return runs_once
