"""The server's side of one round of secure aggregation: five exchanges around the training, and one sum."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from cryptography import x509
from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.errors import UpdateError
from fedvoxel.federation.rounds import Rounds
from fedvoxel.flare.agreement import agreed_on
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
from fedvoxel.flare.site_tasks import Gathered, Wait
from fedvoxel.updates.secure.collector import Collector
from fedvoxel.updates.secure.config import SecureConfig, threshold
from fedvoxel.updates.secure.grid import size_of, unflat
from fedvoxel.updates.secure.session import session_name

Ask = Callable[..., Gathered]


class SecureRound:
    """Carries one round's messages between the sites and the collector."""

    def __init__(self, state: Rounds, config: SecureConfig, run_key: str, root: x509.Certificate, ask: Ask) -> None:
        """Takes the run's rounds, its setting and key, the consortium's root certificate, and `SiteTasks.ask`."""
        if state.scale is None:
            raise UpdateError("a run without secure aggregation")
        self._state, self._config, self._ask, self._scale = state, config, ask, state.scale
        session, size = session_name(run_key, state.round), size_of(state.layout)
        self._collector = Collector(session, root, config, self._scale.ring, size)
        self._agreed = b""
        self._absent: dict[str, str] = {}
        self._refused: dict[str, str] = {}

    def run(
        self, sites: Collection[str], messages: RoundMessages, replies: RoundReplies
    ) -> tuple[Gathered, Collection[str]]:
        """Runs the round and adds its sum to the rounds.

        Args:
            sites: Who is asked.
            messages: What the sites are sent to train on.
            replies: Takes what they reply besides the masked update.

        Returns:
            Who gave no usable answer in which exchange and why, and who had to be sent the whole model.

        Raises:
            UpdateError: Too few stayed, or the sum cannot be had.
        """
        try:
            lacking = self._run(sites, messages, replies)
        except UpdateError as error:
            said = "; ".join(f"{site}: {reason}" for site, reason in (self._absent | self._refused).items())
            raise UpdateError(f"round {self._state.round}: {error} ({said or 'no site was refused'})") from None
        # Who vanished after masking is in the sum all the same.
        outside = [site for site in sites if site not in self._collector.alive]
        missing, refused = (
            {site: absent[site] for site in outside if site in absent} for absent in (self._absent, self._refused)
        )
        return Gathered(missing, refused), lacking

    def _run(self, sites: Collection[str], messages: RoundMessages, replies: RoundReplies) -> Collection[str]:
        collector = self._collector
        meta = {"config": self._config.model_dump(mode="json")}
        self._exchange(TASK_SECURE_KEYS, meta, sites, "keys", collector.add_announcement)
        roster = collector.roster()
        self._exchange(TASK_SECURE_SHARES, {"roster": roster}, collector.sites, "shares", collector.add_shares)
        lacking = self._train(messages, replies)
        alive = collector.confirmable()
        self._exchange(TASK_SECURE_CONFIRM, {"alive": alive}, alive, "confirmation", collector.add_confirmation)
        confirmed = collector.confirmations()
        meta = {"confirmations": confirmed}
        self._exchange(TASK_SECURE_REVEAL, meta, list(confirmed), "revealed", collector.add_reveal)
        cases, values = collector.total(self._agreed)
        steps = self._scale.steps(len(collector.sites))
        self._state.add_sum(unflat(values, self._state.layout), steps, cases, alive)
        return lacking

    def _train(self, messages: RoundMessages, replies: RoundReplies) -> list[str]:
        collector, steps = self._collector, self._scale.steps(len(self._collector.sites))
        said = {"dealt": collector.dealt(), "bits": collector.ring.bits, "steps": steps}
        take = partial(replies.take_masked, collector.add_masked)
        message = _with(messages.change(), said)
        self._agreed = agreed_on(message, self._state.outgoing)
        gathered = self._send(TASK_TRAIN, message, list(collector.dealt()), take)
        lacking = gathered.lacking
        if lacking:
            for site in lacking:
                del self._absent[site]
            self._send(TASK_TRAIN, _with(messages.whole(), said), lacking, take)
        return lacking

    def _exchange(
        self, task: str, meta: dict[str, Any], sites: Collection[str], key: str, take: Callable[[str, Any], None]
    ) -> None:
        message = FLModel(metrics=dict(NO_ARRAYS), meta=meta, current_round=self._state.round)
        self._send(task, message, sites, lambda site, reply: take(site, reply.meta.get(key)))

    def _send(
        self, task: str, message: FLModel, sites: Collection[str], take: Callable[[str, FLModel], None]
    ) -> Gathered:
        rounds = self._state.config
        enough = threshold(len(sites), self._config) or len(sites)
        gathered = self._ask(task, message, sites, Wait(rounds.round_timeout_s, enough, rounds.grace_s), take)
        self._absent |= gathered.missing
        self._refused |= gathered.refused
        return gathered


def _with(message: FLModel, said: dict[str, Any]) -> FLModel:
    message.meta["secure"] = said
    return message
