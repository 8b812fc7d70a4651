"""The server's side of one round in which each site sends its own update."""

from collections.abc import Callable, Collection

from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.selection import Selector
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.gathered import Gathered
from fedvoxel.flare.messages import TASK_TRAIN
from fedvoxel.flare.round_messages import RoundMessages
from fedvoxel.flare.round_replies import RoundReplies

Ask = Callable[..., Gathered]


class PlainRound:
    """Has the sites train one round."""

    def __init__(self, state: Rounds, selector: Selector, ask: Ask) -> None:
        """Takes the run's rounds, who chooses the sites, and `SiteTasks.ask`."""
        self._state, self._selector, self._ask = state, selector, ask

    def run(self, sites: Collection[str], messages: RoundMessages, replies: RoundReplies) -> None:
        """Runs the round; sites that were not chosen are asked in the place of some that a quorum lacks.

        Args:
            sites: Who is asked.
            messages: What the sites are sent to train on.
            replies: Takes what they reply, and notes who gave no usable answer.
        """
        needed = self._state.config.min_sites
        self._train(sites, needed, messages, replies)
        while (short := needed - self._state.accepted) > 0 and (others := self._selector.instead(short)):
            replies.asked_instead(others)
            self._train(others, short, messages, replies)

    def _train(self, sites: Collection[str], enough: int, messages: RoundMessages, replies: RoundReplies) -> None:
        config = self._state.config
        wait = Wait(config.round_timeout_s, enough, config.grace_s, config.site_timeout_s)
        gathered = messages.exchange(self._ask, TASK_TRAIN, sites, wait, replies.noting(replies.take))
        replies.notes.miss(gathered.missing, gathered.silent)
        replies.notes.slow |= gathered.slow
