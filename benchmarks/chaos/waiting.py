"""Waits for conditions."""

import time
from collections.abc import Callable
from typing import Any


def wait_until(condition: Callable[[], Any], timeout_s: float, poll_s: float = 0.1) -> Any:
    """Returns the first true answer; None when the time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(poll_s)
    return None
