"""What a run's models hold of a site, through all the runs that it goes back to by `start_from`.

A model that began with one that holds something of a site holds it too, as a whole; unless it began with the model from
before that site joined. Where a run that is gone back to is not here any more, or is another than the one that was
begun with, nothing is known, and nothing is claimed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fedvoxel.errors import ConfigError
from fedvoxel.federation.channels import StartModel
from fedvoxel.federation.kept_models import KeptModel, KeptModels
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.federation.taking_part import Part, part_of

Since = Callable[[Part], int | None]
"""From which round on a run's own models hold something, as one of `Part`'s values says."""


def trained(part: Part) -> int | None:
    """Counts updates only."""
    return part.trained_from


def touched(part: Part) -> int | None:
    """Counts everything that was taken of a site."""
    return part.touched_from


@dataclass(frozen=True)
class Runs:
    """Are the runs that a server has kept.

    Attributes:
        folder: The folder with one folder for each run, in the server's state.
    """

    folder: Path

    @property
    def keys(self) -> tuple[str, ...]:
        """Are the keys of all runs with an outcome, in order."""
        return tuple(sorted(path.parent.name for path in self.folder.glob(f"*/{OUTCOME_FILE}")))

    def outcome(self, run_key: str) -> RunOutcome:
        """Returns a run's outcome.

        Raises:
            ConfigError: There is none, or it is damaged.
        """
        try:
            outcome = load_outcome(self.folder / run_key / OUTCOME_FILE)
            if outcome.run_key != run_key:
                raise ConfigError(f"it is of run {outcome.run_key}")
            return outcome
        except ConfigError:
            # The reason would name the server's folders.
            raise ConfigError(
                f"the outcome of run {run_key} is missing or damaged; put the run's files back from a backup"
            ) from None

    def kept(self, outcome: RunOutcome) -> tuple[KeptModel, ...]:
        """Returns the records of the models that are kept of a run; raises as `KeptModels.read` does."""
        return KeptModels(self.folder / outcome.run_key).read(outcome.rounds_committed)

    def holds(self, site: str, outcome: RunOutcome, rounds: int, since: Since) -> bool | None:
        """Says whether the model after so many rounds of a run holds something of a site; None where nobody knows."""
        first = since(part_of(site, outcome))
        if first is not None and first < rounds:
            return True
        return self.began_with(site, outcome, since)

    def began_with(self, site: str, outcome: RunOutcome, since: Since) -> bool | None:
        """Says whether the model that a run began with, if an earlier run's, holds something of a site; see `holds`."""
        for earlier, rounds in self._ancestors(outcome):
            if earlier is None:
                return None
            first = since(part_of(site, earlier))
            if first is not None and first < rounds:
                return True
        return False

    def _ancestors(self, outcome: RunOutcome) -> Iterator[tuple[RunOutcome | None, int]]:
        """Yields each run that is gone back to, and how many of its rounds count; None in place of one that is gone."""
        seen, start = {outcome.run_key}, outcome.start_from
        while start is not None:
            earlier = None if start.run_key in seen else self._begun_with(start)
            seen.add(start.run_key)
            if earlier is None:
                yield None, 0
                return
            yield earlier, earlier.rounds_committed if start.before_round is None else start.before_round
            start = earlier.start_from

    def _begun_with(self, start: StartModel) -> RunOutcome | None:
        """Returns the run whose model a start names, if that is still the one that is here."""
        try:
            outcome = self.outcome(start.run_key)
            kept = {record.round: record.sha256 for record in self.kept(outcome)}
        except ConfigError:
            return None
        last = outcome.model.sha256 if outcome.model else None
        found = last if start.before_round is None else kept.get(start.before_round)
        return outcome if found == start.sha256 else None
