"""Tells a round that lacks updates since sites were silent, which passes, from one that lacks them for good."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from fedvoxel.errors import SilentSitesError, UpdateError
from fedvoxel.federation.round_notes import RoundNotes
from fedvoxel.federation.rounds import Rounds


@contextmanager
def telling_silence(rounds: Rounds, notes: RoundNotes, sites: Collection[str]) -> Iterator[None]:
    """Watches over one round.

    Args:
        rounds: The run's rounds.
        notes: Those of the round.
        sites: All sites of the run.

    Raises:
        SilentSitesError: In place of the round's UpdateError, where too few answered and enough may another time.
    """
    try:
        yield
    except UpdateError as error:
        needed = rounds.config.min_sites
        if rounds.accepted < needed and notes.may_pass(sites, needed):
            raise SilentSitesError(str(error)) from None
        raise
