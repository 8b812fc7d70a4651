"""The server's side of a cross-site evaluation: gathers every site's last local model and has each site score them all.

Models come from the sites' and the server's own state of an earlier run; nothing is trained.
"""

from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, JobError, UpdateError
from fedvoxel.federation.cross_site import CROSS_SITE_FILE, GLOBAL_MODEL, CrossSiteTable
from fedvoxel.federation.outcome import SiteScore
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.inquiry import InquiryController
from fedvoxel.flare.messages import NO_ARRAYS, TASK_SUBMIT_MODEL, TASK_VALIDATE
from fedvoxel.flare.run_files import BEST_MODEL_FILE, GLOBAL_MODEL_FILE
from fedvoxel.flare.state_folder import run_state_folder
from fedvoxel.updates.update import Arrays, check_layout, check_values, layout_of
from fedvoxel.updates.weights_file import load_weights


class CrossSiteController(InquiryController):
    """Evaluates the models of one earlier run across all sites."""

    title = "cross-site evaluation"
    file = CROSS_SITE_FILE

    def __init__(self, run_key: str, timeout_s: float = 1800.0, task_check_period: float = 0.1) -> None:
        """Keeps the job's words; see `InquiryController`.

        Args:
            run_key: The run whose models are evaluated.
            timeout_s: Longest wait for each task, in seconds.
            task_check_period: Seconds between two looks at open tasks.
        """
        super().__init__(timeout_s, task_check_period)
        self.run_key = run_key
        self._missing: dict[str, str] = {}

    def answers(self, sites: list[str]) -> dict[str, Any]:
        """Returns a `CrossSiteTable`."""
        models = self._models(sites)
        scores = {name: self._score(name, model, sites) for name, model in models.items()}
        if not any(scores.values()):
            said = "; ".join(f"{who}: {why}" for who, why in sorted(self._missing.items()))
            raise JobError(f"no site could score any model ({said})")
        job_id = self.fl_ctx.get_job_id()
        table = CrossSiteTable(run_key=self.run_key, job_id=job_id, scores=scores, missing=self._missing)
        return table.model_dump(mode="json")

    def _models(self, sites: list[str]) -> dict[str, Arrays]:
        """Returns the global model and that of each site that has one of the same layout."""
        state = run_state_folder(self.fl_ctx, self.run_key)
        best = state / BEST_MODEL_FILE
        models: dict[str, Arrays] = {GLOBAL_MODEL: load_weights(best if best.is_file() else state / GLOBAL_MODEL_FILE)}
        layout = layout_of(models[GLOBAL_MODEL])

        def receive(site: str, reply: FLModel) -> None:
            arrays = reply.params or {}
            check_layout(arrays, layout)
            check_values(arrays)
            models[site] = arrays

        gathered = self.ask(TASK_SUBMIT_MODEL, FLModel(metrics=dict(NO_ARRAYS)), sites, Wait(self.timeout_s), receive)
        self._missing |= gathered.missing | gathered.refused
        return models

    def _score(self, name: str, model: Arrays, sites: list[str]) -> dict[str, SiteScore]:
        scores: dict[str, SiteScore] = {}

        def receive(site: str, reply: FLModel) -> None:
            try:
                scores[site] = parse_config(SiteScore, reply.meta.get("score"), "the test score")
            except ConfigError as error:
                raise UpdateError(str(error)) from None

        message = FLModel(params_type=ParamsType.FULL, params=dict(model), meta={"split": "test", "model": name})
        gathered = self.ask(TASK_VALIDATE, message, sites, Wait(self.timeout_s), receive)
        self._missing |= {f"{name} at {site}": why for site, why in (gathered.missing | gathered.refused).items()}
        return scores
