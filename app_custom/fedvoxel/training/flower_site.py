"""A site's work where a Flower app of its own trains: all but the training of a round is as with FedVoxel's trainer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedvoxel.training.flower_app import FlowerApp, allowed_app
from fedvoxel.training.flower_config import FlowerConfig
from fedvoxel.training.local_steps import Progress
from fedvoxel.training.setup import TrainerSetup
from fedvoxel.training.site_trainer import SiteTrainer
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import save_weights


class FlowerSite(SiteTrainer):
    """Joins a site's cohort to an app on the site's list; first weights and scores come from FedVoxel's own trainer."""

    def __init__(self, setup: TrainerSetup, flower: FlowerConfig) -> None:
        """Reads the site's file; the app is not loaded yet.

        Raises:
            ConfigError: See `SiteTrainer`.
        """
        super().__init__(setup)
        self._flower = flower
        self._app: FlowerApp | None = None

    def prepare(self) -> None:
        """Loads the app before anything else is read, so that a site that does not allow it answers nothing else.

        Raises:
            ConfigError: The site does not allow the app, or it cannot be loaded; see also `SiteTrainer`.
            CohortError: See there.
        """
        self._opened()
        super().prepare()

    def _train_models(
        self, header: Mapping[str, Any], arrays: Arrays, progress: Progress, result: dict[str, Any]
    ) -> Arrays:
        """Has the app train the common model; adds to `result`."""
        update = self._opened().train_round(arrays, header["round"], header["num_rounds"])
        result |= {"case_count": update.case_count, **update.metrics}
        if self._setup.task.privacy is None:
            local = {name: arrays[name] + change for name, change in update.arrays.items()}
            save_weights(Path(header["keep_as"]), local)
        return update.arrays

    def _opened(self) -> FlowerApp:
        if self._app is None:
            app = allowed_app(self._flower, self._site.flower_apps)
            # After the app was found to be allowed, and Flower to be installed, which this needs.
            from fedvoxel.training.flower_context import SiteContext

            context = SiteContext(self._flower, self._setup.task, self.cases("training"))
            self._app = FlowerApp(self._flower, app, context)
        return self._app
