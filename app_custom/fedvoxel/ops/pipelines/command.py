"""Runs one `fedvoxel` command in a process of its own, and hands on how it ended."""

import subprocess
import sys

from fedvoxel.errors import StepError

_ENDED_BY_A_SIGNAL = 1


def run_command(*words: object, holding: int | None = None) -> str:
    """Returns what a command writes on standard output; what it says on standard error is passed on.

    Args:
        words: The command, without `fedvoxel`.
        holding: A lock's descriptor that the command inherits: where this process is killed, the lock is held until
            the command has ended too.

    Raises:
        StepError: It failed: with the last line that it said, and its exit code.
    """
    command = [sys.executable, "-P", "-m", "fedvoxel.cli.main", *map(str, words)]
    kept = () if holding is None else (holding,)
    done = subprocess.run(command, capture_output=True, text=True, check=False, pass_fds=kept)
    said = done.stderr.splitlines()
    if done.returncode == 0:
        sys.stderr.writelines(f"{line}\n" for line in said)
        return done.stdout
    if done.returncode < 0:
        raise StepError(f"fedvoxel {words[0]} was ended by signal {-done.returncode}", _ENDED_BY_A_SIGNAL)
    sys.stderr.writelines(f"{line}\n" for line in said[:-1])
    last = said[-1].removeprefix("error: ") if said else "it said nothing"
    raise StepError(f"fedvoxel {words[0]}: {last}", done.returncode)
