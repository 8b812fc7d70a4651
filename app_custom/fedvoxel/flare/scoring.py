"""Has the sites score models on their own cases: the last one, the tested one, and any that is asked about."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.absences import Absences
from fedvoxel.federation.broadcast import Broadcast
from fedvoxel.federation.cross_site import GLOBAL_MODEL
from fedvoxel.federation.outcome import SiteScore, ValidationScore
from fedvoxel.federation.recorder import RunRecorder
from fedvoxel.federation.reply_values import read_validation
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.vetting import Vetting
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.gathered import Gathered
from fedvoxel.flare.messages import TASK_VALIDATE
from fedvoxel.flare.model_messages import ModelMessages
from fedvoxel.updates.update import Arrays

Ask = Callable[..., Gathered]
Take = Callable[[str, Mapping[str, Any]], None]
TakeScore = Callable[[str, ValidationScore], None]


class Scoring:
    """Asks for scores in one run."""

    def __init__(self, state: Rounds, vetting: Vetting, recorder: RunRecorder, ask: Ask) -> None:
        """Takes the run's rounds, vetting and recorder, and `SiteTasks.ask`."""
        self._state, self._vetting, self._recorder, self._ask = state, vetting, recorder, ask

    def validate_last(self, sites: list[str]) -> Absences:
        """Has the last model validated, and returns who gave no score."""
        absences = self._evaluate("validation", self._last, sites, self._reading(self._state.add_validation))
        self._state.broadcast.arrived()
        self._state.score_model()
        return absences

    def test(self, sites: list[str]) -> Absences:
        """Has the best model tested, and returns who gave no score."""
        best = self._state.best_model
        sent = self._last if best is None or best is self._state.model else Broadcast(best, None)
        return self._evaluate("test", sent, sites, partial(_take_test, self._recorder))

    def validation(self, model: Arrays, sites: list[str], take: TakeScore) -> None:
        """Has any model validated while a round is open, and hands on each site's score."""
        absences = self._evaluate("validation", Broadcast(model, None), sites, self._reading(take))
        self._recorder.unscored = self._recorder.unscored.then(absences)

    def _reading(self, take: TakeScore) -> Take:
        def read(site: str, meta: Mapping[str, Any]) -> None:
            take(site, self._vetting.weighed(site, read_validation(self._state.config, meta.get("score"))))

        return read

    @property
    def _last(self) -> Broadcast:
        """Is the last model, as a change to what the sites hold where there is a codec on the way down."""
        sent = self._state.broadcast
        # Without one all get the whole, and then no control variates with it.
        return Broadcast(self._state.model, None) if sent.base is None else sent

    def _evaluate(self, split: str, sent: Broadcast, sites: list[str], take: Take) -> Absences:
        """Returns who gave no score."""

        def receive(site: str, reply: FLModel) -> None:
            if reply.meta.get("public") is not True:
                # A job may have another executor, on another cohort, answer this task.
                self._recorder.scored_elsewhere.add(site)
            take(site, reply.meta)

        config = self._state.config
        meta = {"split": split, "model": GLOBAL_MODEL, "down": sent.base is not None}
        messages = ModelMessages(sent, meta, current_round=self._state.round, total_rounds=config.num_rounds)
        wait = Wait(config.round_timeout_s, config.min_sites, config.grace_s, config.site_timeout_s)
        gathered = messages.exchange(self._ask, TASK_VALIDATE, sites, wait, receive)
        return Absences(missing=gathered.missing, refused=gathered.refused)


def _take_test(recorder: RunRecorder, site: str, meta: Mapping[str, Any]) -> None:
    personal = meta.get("personal")
    try:
        scored = parse_config(SiteScore, meta.get("score"), "the test score")
        if personal is not None:
            recorder.personal[site] = parse_config(SiteScore, personal, "the personal model's test score")
    except ConfigError as error:
        raise UpdateError(str(error)) from None
    recorder.test[site] = scored
