"""The server's side of one round of secure aggregation: five exchanges around the training, and one sum."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.errors import TooFewError, UpdateError
from fedvoxel.federation.attempts import attempt_at
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.agreement import agreed_on
from fedvoxel.flare.gathered import Gathered
from fedvoxel.flare.messages import (
    NO_ARRAYS,
    TASK_SECURE_CONFIRM,
    TASK_SECURE_KEYS,
    TASK_SECURE_REVEAL,
    TASK_SECURE_SHARES,
    TASK_TRAIN,
)
from fedvoxel.flare.round_messages import RoundMessages
from fedvoxel.flare.round_replies import RoundReplies
from fedvoxel.flare.run_journal import RunJournal
from fedvoxel.governance.watched_list import WatchedList
from fedvoxel.records.identity import load_root
from fedvoxel.updates.secure.collector import Collector
from fedvoxel.updates.secure.config import SecureConfig, threshold
from fedvoxel.updates.secure.grid import size_of, unflat
from fedvoxel.updates.secure.identity import Signers
from fedvoxel.updates.secure.session import session_name

Ask = Callable[..., Gathered]

NOT_IN_SUM = "not in the sum of this round that an earlier attempt asked the sites to sign"


class SecureRound:
    """Carries one round's messages between the sites and the collector."""

    def __init__(self, state: Rounds, config: SecureConfig, journal: RunJournal, signers: Signers, ask: Ask) -> None:
        """Takes what a round needs.

        Args:
            state: The run's rounds.
            config: Its setting.
            journal: The run's; sites begin a round once in each attempt at it, and sign one list of who is in its sum.
            signers: Whose signatures count.
            ask: `SiteTasks.ask`.
        """
        if state.scale is None:
            raise UpdateError("a run without secure aggregation")
        self._state, self._config, self._ask, self._scale = state, config, ask, state.scale
        self._journal, self._attempt = journal, attempt_at(journal.entry.attempts, state.round)
        session = session_name(journal.entry.run_key, state.round, self._attempt)
        self._collector = Collector(session, signers, config, self._scale.ring, size_of(state.layout))
        self._agreed = b""
        self._replies: RoundReplies

    def run(self, sites: Collection[str], messages: RoundMessages, replies: RoundReplies) -> None:
        """Runs the round and adds its sum to the rounds.

        Args:
            sites: Who is asked.
            messages: What the sites are sent to train on.
            replies: Takes what they reply besides the masked update, and notes who gave no usable answer: whose update
                is in the sum is noted apart.

        Raises:
            UpdateError: Too few stayed, or the sum cannot be had.
        """
        self._replies = replies
        try:
            self._run(sites, messages)
        except UpdateError as error:
            said = replies.notes.reasons or "no site was refused"
            raise type(error)(f"round {self._state.round}: {error} ({said})") from None

    def _run(self, sites: Collection[str], messages: RoundMessages) -> None:
        collector = self._collector
        meta = {"config": self._config.model_dump(mode="json")}
        self._exchange(TASK_SECURE_KEYS, meta, sites, "keys", collector.add_announcement)
        roster = collector.roster()
        self._exchange(TASK_SECURE_SHARES, {"roster": roster}, self._bound(), "shares", collector.add_shares)
        self._train(messages)
        alive = collector.confirmable()
        self._journal.note_in_sum(alive)
        self._exchange(TASK_SECURE_CONFIRM, {"alive": alive}, alive, "confirmation", collector.add_confirmation)
        confirmed = collector.confirmations()
        meta = {"confirmations": confirmed}
        self._exchange(TASK_SECURE_REVEAL, meta, list(confirmed), "revealed", collector.add_reveal)
        cases, values = collector.total(self._agreed)
        steps = self._scale.steps(len(collector.sites))
        self._state.add_sum(unflat(values, self._state.layout), steps, cases, alive)

    def _bound(self) -> list[str]:
        """Returns who of the roster can be in the sum: all, or those that an earlier attempt has asked to sign one.

        The others announce keys nevertheless, so that as many have to stay as in that attempt, and the steps are its.

        Raises:
            UpdateError: Too few of those are there.
        """
        sites, in_sum = self._collector.sites, self._journal.entry.in_sum
        if in_sum is None:
            return sites
        others = [site for site in sites if site not in in_sum]
        self._replies.notes.not_selected |= dict.fromkeys(others, NOT_IN_SUM)
        found, needed = [site for site in sites if site in in_sum], threshold(len(sites), self._config)
        if len(found) < needed:
            raise TooFewError(
                f"{len(found)} of the {len(in_sum)} sites that an earlier attempt asked to sign this round's sum have "
                f"announced keys, {needed} are needed"
            )
        return found

    def _train(self, messages: RoundMessages) -> None:
        collector, steps = self._collector, self._scale.steps(len(self._collector.sites))
        said = {"dealt": collector.dealt(), "bits": collector.ring.bits, "steps": steps, "attempt": self._attempt}
        take = partial(self._replies.take_masked, collector.add_masked)
        message = _with(messages.change(), said)
        self._agreed = agreed_on(message, self._state.outgoing)
        gathered = self._send(TASK_TRAIN, message, list(collector.dealt()), take)
        lacking = gathered.lacking
        if lacking:
            again = self._send(TASK_TRAIN, _with(messages.whole(), said), lacking, take)
            gathered = gathered.asked_again(lacking, again)
        self._replies.notes.miss(gathered.missing, gathered.silent)
        self._replies.notes.slow |= gathered.slow

    def _exchange(
        self, task: str, meta: dict[str, Any], sites: Collection[str], key: str, take: Callable[[str, Any], None]
    ) -> None:
        meta |= {"attempt": self._attempt}
        message = FLModel(metrics=dict(NO_ARRAYS), meta=meta, current_round=self._state.round)
        gathered = self._send(task, message, sites, lambda site, reply: take(site, reply.meta.get(key)))
        self._replies.notes.miss(gathered.missing, gathered.silent)

    def _send(
        self, task: str, message: FLModel, sites: Collection[str], take: Callable[[str, FLModel], None]
    ) -> Gathered:
        rounds = self._state.config
        enough = threshold(len(sites), self._config) or len(sites)
        wait = Wait(rounds.round_timeout_s, enough, rounds.grace_s, rounds.site_timeout_s)
        return self._ask(task, message, sites, wait, self._replies.noting(take))


def signers_of(startup: Path, state: Path) -> Signers:
    """Returns whose signatures count at the server, by the list in force there: on a full disk, one without a copy too.

    Args:
        startup: The kit's `startup/` folder.
        state: The kit's `state/` folder.

    Raises:
        ConsortiumError: The root or the list cannot be read.
    """
    return Signers(load_root(startup / "rootCA.pem"), WatchedList(startup, state).lists_now(datetime.now(UTC)))


def _with(message: FLModel, said: dict[str, Any]) -> FLModel:
    message.meta["secure"] = said
    return message
