"""Tells a round that lacks updates since sites were silent, which passes, from one that lacks them for good."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from fedvoxel.errors import SilentSitesError, TooFewError
from fedvoxel.federation.round_notes import RoundNotes


@contextmanager
def telling_silence(notes: RoundNotes, sites: Collection[str], needed: int) -> Iterator[None]:
    """Watches over one round.

    Args:
        notes: Those of the round.
        sites: All sites of the run.
        needed: How many a round needs.

    Raises:
        SilentSitesError: In place of TooFewError, where enough may answer another time.
    """
    try:
        yield
    except TooFewError as error:
        if notes.may_pass(sites, needed):
            raise SilentSitesError(str(error)) from None
        raise
