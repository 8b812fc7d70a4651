"""The server's side of one round in which each site sends its own update."""

from collections.abc import Callable, Collection

from fedvoxel.federation.rounds import Rounds
from fedvoxel.flare.messages import TASK_TRAIN
from fedvoxel.flare.round_messages import RoundMessages
from fedvoxel.flare.round_replies import RoundReplies
from fedvoxel.flare.site_tasks import Gathered, Wait

Ask = Callable[..., Gathered]


class PlainRound:
    """Has the sites train one round."""

    def __init__(self, state: Rounds, ask: Ask) -> None:
        """Takes the run's rounds, and `SiteTasks.ask`."""
        self._state, self._ask = state, ask

    def run(self, sites: Collection[str], messages: RoundMessages, replies: RoundReplies) -> None:
        """Runs the round.

        Args:
            sites: Who is asked.
            messages: What the sites are sent to train on.
            replies: Takes what they reply, and notes who gave no usable answer.
        """
        config = self._state.config
        wait = Wait(config.round_timeout_s, config.min_sites, config.grace_s)
        gathered = messages.exchange(self._ask, TASK_TRAIN, sites, wait, replies.noting(replies.take))
        replies.notes.miss(gathered.missing)
