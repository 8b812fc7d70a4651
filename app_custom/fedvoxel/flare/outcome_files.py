"""The places of one run's outcome on the server: the job's result, and the run's state."""

from contextlib import suppress
from pathlib import Path

from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, write_outcome


class OutcomeFiles:
    """Writes what one attempt at a run has to say of how the run stands."""

    def __init__(self, result: Path, state: Path) -> None:
        """Takes the folder of the job's result, and the run's in the server's state."""
        self._result, self._state = result / OUTCOME_FILE, state / OUTCOME_FILE
        self.of_run = False
        """Whether this attempt speaks for the run: one that never began leaves the run's state to an earlier one."""

    def write(self, outcome: RunOutcome) -> None:
        """Writes the outcome of a run in each place.

        Raises:
            OSError: One cannot be written.
        """
        for path in self._places:
            write_outcome(outcome, path)

    def write_anywhere(self, outcome: RunOutcome) -> bool:
        """Writes the outcome of a run that could not write its files, in one place at least if that can be."""
        written = 0
        for path in self._places:
            with suppress(OSError):
                _put(outcome, path)
                written += 1
        return written > 0

    @property
    def _places(self) -> tuple[Path, ...]:
        return (self._result, self._state) if self.of_run or not self._state.is_file() else (self._result,)


def _put(outcome: RunOutcome, path: Path) -> None:
    """Writes an outcome in the place of one that may say better: that goes, and makes room, where there is none."""
    try:
        write_outcome(outcome, path)
    except OSError:
        path.unlink(missing_ok=True)
        write_outcome(outcome, path)
