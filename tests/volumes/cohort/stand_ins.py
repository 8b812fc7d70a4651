"""Stand-ins for what builds one case, to be run in worker processes: they crash, hang, swallow memory or raise."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from fedvoxel.volumes.cohort.case import CaseTask, NotWritten, build_case

HOSTILE = "HOSTILE"


def _is_hostile(task: CaseTask) -> bool:
    return task.image.patient_id == HOSTILE


def crashing(task: CaseTask) -> Any:
    """Is a decoder that writes where it may not."""
    if _is_hostile(task):
        os.kill(os.getpid(), signal.SIGSEGV)
    return build_case(task)


def killed(task: CaseTask) -> Any:
    """Is a process that the kernel kills when memory is short."""
    if _is_hostile(task):
        os.kill(os.getpid(), signal.SIGKILL)
    return build_case(task)


def leaving(task: CaseTask) -> Any:
    """Is a library that ends the whole process."""
    if _is_hostile(task):
        os._exit(3)
    return build_case(task)


def hanging(task: CaseTask) -> Any:
    """Is a decoder that never comes back, and that heeds no polite signal."""
    if _is_hostile(task):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)
    return build_case(task)


def swallowing(task: CaseTask) -> Any:
    """Is a decoder that believes the size that a header claims."""
    held = []
    while _is_hostile(task):
        held.append(bytearray(2**26))
    return build_case(task)


def raising(task: CaseTask) -> Any:
    """Is a bug whose error quotes the patient."""
    if _is_hostile(task):
        raise KeyError(f"no rule for {task.image.patient_id}")
    return build_case(task)


def on_a_full_disk(task: CaseTask) -> Any:
    """Is a case that the disk does not take."""
    return NotWritten(os.strerror(28)) if _is_hostile(task) else build_case(task)


def slow(task: CaseTask) -> Any:
    """Takes its time, so that a test can strike in between."""
    time.sleep(0.2)
    return build_case(task)


def marking(mark: Path) -> None:
    """Says that it has begun, and does not end."""
    mark.touch()
    time.sleep(600)


def blocked(number: int) -> bool:
    """Says whether a signal cannot reach this process."""
    return number in signal.pthread_sigmask(signal.SIG_BLOCK, ())
