"""What a site has to know when a round of secure aggregation is begun again, since the server died in it.

Every attempt at a round has a session, keys and seeds of its own: no mask ever hides two messages, and what was said in
one attempt counts in no other. What could still tell a single update is that the sums of two attempts are both
unmasked, over different sites: their difference. So a site signs one list of who is in the sum for each round of a run,
however often it is begun, and has noted the list before its signature leaves.

Why that is enough. To unmask a site's message in an attempt takes as many others as have to stay, each of which has
signed the list. Of two attempts in which s of the roster R and t of the roster S have to stay, s + t - |R | S| sites at
least have signed in both. Where these are more than side with the server, one of them is honest: its two lists are the
same, and so are the sites in the two sums, as within one attempt two lists would not both find enough signatures. The
difference of the sums is then 0, or tells of these sites' sum alone: it was rounded in other steps, where the roster is
of another size, or has noise that was drawn, and charged, anew. A site checks that number against every attempt at the
round in which it has sent a masked message, and takes no part where it is too small; a message that was never unmasked
hides behind its site's own seed, which went with the attempt.

More than one process of a site may take part, as a job that was left behind can go on beside the one after it. What
the site sends is decided by its one note, which is read, checked and written as one step under a lock: a masked message
leaves only in a round and an attempt after all that are noted, with a roster that was held against theirs, and a
signature only in the attempt that was noted last. So what several processes send is what one could have sent.

So an attempt that nobody has signed in binds nobody, and one that was signed in can be repeated with the same sites
only. Rounds before the last one that was summed up are never begun again.

Source: as for one attempt, Bonawitz et al., CCS 2017, theorem 6.5.
"""

from collections.abc import Collection, Sequence
from typing import Literal, Self

from pydantic import Field

from fedvoxel.config import FrozenModel
from fedvoxel.errors import UpdateError
from fedvoxel.updates.secure.session import SiteName


class MaskedAttempt(FrozenModel):
    """Is one attempt in which the site has sent a masked message.

    Attributes:
        sites: Its roster.
        stay: How many of them have to stay to the end.
    """

    sites: tuple[SiteName, ...]
    stay: int = Field(ge=1)


class SummedRound(FrozenModel):
    """Is the last round of a run that the site has sent a masked message in.

    Attributes:
        last: The round, 0-based; -1 before the first.
        attempt: The last attempt at it in which a masked message was sent, from 1.
        attempts: All of these. A note of release 0.1.0 has none, and its round is not begun again.
        signed: Who is in its sum; None where the site has signed nothing yet.
    """

    schema_version: Literal[1] = 1
    last: int = Field(default=-1, ge=-1)
    attempt: int = Field(default=1, ge=1)
    attempts: tuple[MaskedAttempt, ...] = ()
    signed: tuple[SiteName, ...] | None = None

    def check_begins(self, index: int, attempt: int) -> None:
        """Checks that a round may be begun, for the first time or again.

        Raises:
            UpdateError: It went into a sum, and this is no later attempt at it.
        """
        again = index == self.last and attempt > self.attempt and bool(self.attempts)
        if index <= self.last and not again:
            raise UpdateError(f"round {index} went into a sum of this run before; give the run a new run_key")

    def check_roster(self, index: int, sites: Collection[str], stay: int, colluders: int) -> None:
        """Checks that a roster shares so many sites with those of earlier attempts that no two sums can differ.

        Args:
            index: The round.
            sites: The roster.
            stay: How many of them have to stay.
            colluders: Other sites that may side with the server.

        Raises:
            UpdateError: It does not.
        """
        for before in self.attempts if index == self.last else ():
            if before.stay + stay - len({*before.sites, *sites}) <= colluders:
                raise UpdateError(
                    f"round {index} is begun again with {len(sites)} sites of which {stay} have to stay, and was begun "
                    f"before with {len(before.sites)} of which {before.stay} had to: expected so many of the same ones "
                    "that no two sums of the round can be made; give the run a new run_key"
                )

    def check_signs(self, index: int, alive: Sequence[str]) -> None:
        """Checks that this site has signed no other list of who is in the round's sum.

        Raises:
            UpdateError: It has.
        """
        if index == self.last and self.signed is not None and self.signed != _list(alive):
            raise UpdateError(
                f"round {index} went into a sum of {len(self.signed)} sites before, and this one is not of the same: "
                "two sums could tell single updates; submit the same job again once all of these are back, or give the "
                "run a new run_key"
            )

    def masked(self, index: int, attempt: int, sites: Sequence[str], stay: int, colluders: int) -> Self:
        """Returns the note with which a masked message may leave.

        Args:
            index: The round.
            attempt: The attempt at it.
            sites: Its roster.
            stay: How many of them have to stay.
            colluders: Other sites that may side with the server.

        Raises:
            UpdateError: See `check_begins` and `check_roster`; another process of the site may have sent something
                since they were asked.
        """
        self.check_begins(index, attempt)
        self.check_roster(index, sites, stay, colluders)
        made, same = MaskedAttempt(sites=tuple(sites), stay=stay), index == self.last
        earlier = self.attempts if same else ()
        signed = self.signed if same else None
        return type(self)(last=index, attempt=attempt, attempts=(*earlier, made), signed=signed)

    def signing(self, index: int, attempt: int, alive: Sequence[str]) -> Self:
        """Returns the note with which a signature may leave.

        Args:
            index: The round.
            attempt: The attempt at it.
            alive: Who is in the sum.

        Raises:
            UpdateError: It is not the attempt in which the site has sent its last masked message, or see `check_signs`.
        """
        if (index, attempt) != (self.last, self.attempt) or not self.attempts:
            raise UpdateError(
                f"a signature asked for in attempt {attempt} at round {index}, expected attempt {self.attempt} at "
                f"round {self.last}, the last that this site has sent a masked update in; where an older job of the "
                "run still runs, abort it"
            )
        self.check_signs(index, alive)
        return self.model_copy(update={"signed": _list(alive)})


def _list(alive: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({str(site) for site in alive}))
