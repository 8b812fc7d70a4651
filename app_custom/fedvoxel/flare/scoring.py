"""Has the sites score models on their own cases: the last one, the tested one, and any that is asked about."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.cross_site import GLOBAL_MODEL
from fedvoxel.federation.outcome import Absences, SiteScore
from fedvoxel.federation.recorder import RunRecorder
from fedvoxel.federation.rounds import Rounds
from fedvoxel.flare.messages import TASK_VALIDATE
from fedvoxel.flare.site_tasks import Gathered, Wait
from fedvoxel.updates.update import Arrays

Ask = Callable[..., Gathered]
Take = Callable[[str, Mapping[str, Any]], None]


class Scoring:
    """Asks for scores in one run."""

    def __init__(self, state: Rounds, recorder: RunRecorder, ask: Ask) -> None:
        """Takes the run's rounds and recorder, and `SiteTasks.ask`."""
        self._state, self._recorder, self._ask = state, recorder, ask

    def validate_last(self, sites: list[str]) -> Absences:
        """Has the last model validated, and returns who gave no score."""

        def receive(site: str, meta: Mapping[str, Any]) -> None:
            self._state.add_validation(site, meta.get("score"))

        absences = self.validation(self._state.model, sites, receive)
        self._state.score_model()
        return absences

    def test(self, sites: list[str]) -> Absences:
        """Has the best model tested, and returns who gave no score."""
        model = self._state.best_model or self._state.model
        return self._evaluate("test", model, sites, partial(_take_test, self._recorder))

    def validation(self, model: Arrays, sites: list[str], take: Take) -> Absences:
        """Has a model validated, and hands on what each site replies."""
        return self._evaluate("validation", model, sites, take)

    def _evaluate(self, split: str, model: Arrays, sites: list[str], take: Take) -> Absences:
        def receive(site: str, reply: FLModel) -> None:
            if reply.meta.get("public") is not True:
                # A job may have another executor, on another cohort, answer this task.
                self._recorder.scored_elsewhere.add(site)
            take(site, reply.meta)

        config = self._state.config
        message = FLModel(params_type=ParamsType.FULL, params=dict(model), meta={"split": split, "model": GLOBAL_MODEL})
        wait = Wait(config.round_timeout_s, config.min_sites, config.grace_s)
        gathered = self._ask(TASK_VALIDATE, message, sites, wait, receive)
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
