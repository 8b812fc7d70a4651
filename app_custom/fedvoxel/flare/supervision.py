"""Keeps a server running: starts its process again when it dies, sooner after a long life than after a short one."""

import time
from collections.abc import Callable, Iterator

from fedvoxel.errors import ConsortiumError
from fedvoxel.flare.kit_process import interrupted_by_signals, run_once
from fedvoxel.governance.kit import Kit

LONG_LIFE_S = 300.0
"""A process that lived so long was well: its death is the first one again."""

MOST_DEATHS = 10
"""Deaths in a row, each after a short life, after which nobody is helped by another start."""

_LONGEST_PAUSE_S = 60.0


def pauses_s() -> Iterator[float]:
    """Returns the seconds to wait after each death in a row: none after the first, then 1, 2, 4 and so on up to 60."""
    yield 0.0
    for deaths in range(MOST_DEATHS - 2):
        yield min(_LONGEST_PAUSE_S, 2.0**deaths)


def supervise(kit: Kit, say: Callable[[str], None], run: Callable[[Kit], int] = run_once) -> int:
    """Runs the server until it is stopped: by a person through the console, or with this process.

    Args:
        kit: The server's kit.
        say: Told what happens, a sentence at a time.
        run: Runs the kit's process once and returns its exit code.

    Returns:
        The exit code of a server that was stopped, 0.

    Raises:
        ConsortiumError: It already runs, or has died too often in a row.
    """
    pauses = pauses_s()
    with interrupted_by_signals():
        while True:
            started = time.monotonic()
            code = run(kit)
            if (kit.folder / "restart.fl").exists():
                continue
            if code == 0:
                return 0
            if time.monotonic() - started > LONG_LIFE_S:
                pauses = pauses_s()
            pause = next(pauses, None)
            if pause is None:
                raise ConsortiumError(
                    f"the server has died {MOST_DEATHS} times in a row; its log.txt says of what, and fedvoxel site "
                    "check what is not in order"
                )
            say(f"the server's process died ({_how(code)}); it is started again{f' in {pause:.0f} s' if pause else ''}")
            time.sleep(pause)


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
