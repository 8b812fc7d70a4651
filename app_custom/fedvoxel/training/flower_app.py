"""Calls a Flower app in this process: the round's weights in, a checked update out. No SuperLink, no network.

Which app it is, the site's own file says: a job gives a name. The app's code runs here with all that this process may
do; what is checked is what it answers, and that is not taken for its word.
"""

import importlib
import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from fedvoxel.errors import ConfigError, TrainingError
from fedvoxel.training.flower_config import FlowerConfig
from fedvoxel.training.flower_reply import ARRAYS, update_of
from fedvoxel.updates.update import Arrays, Update

_NOT_INSTALLED = (
    "this job's training section names a Flower app, and this site lacks Flower, or has another version of it: "
    "pip install -c constraints-flower.txt '.[site,flower]' in an environment of its own (docs/flower.md)"
)

logger = logging.getLogger(__name__)


def allowed_app(config: FlowerConfig, apps: Mapping[str, str]) -> Callable[..., Any]:
    """Returns the `ClientApp` that a site has put on its list under the name that a job gives.

    Args:
        config: The job's word.
        apps: The site's list: module:attribute by name.

    Raises:
        ConfigError: The list has no such name, Flower is not installed, or the app cannot be loaded.
    """
    if config.app not in apps:
        raise ConfigError(
            f"this site allows no Flower app {config.app!r}; where it wants to, it installs the app and puts it on its "
            "list, flower_apps in local/fedvoxel_site.json"
        )
    try:
        from flwr.clientapp import ClientApp
        from flwr.supercore.task_identity import TaskIdentity
    except ImportError:
        raise ConfigError(_NOT_INSTALLED) from None
    # Flower's messages name the process that sends them; here both ends are this one.
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1
    module, _, attribute = apps[config.app].partition(":")
    try:
        app: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise ConfigError(_failure(config.app, "cannot be loaded here", error)) from None
    is_one: bool = isinstance(app, ClientApp)
    if not is_one:
        raise ConfigError(f"the Flower app {config.app!r} of this site is no flwr.clientapp.ClientApp")
    logger.info("event=flower_app_loaded app=%s found_at=%s", config.app, apps[config.app])
    return app


class FlowerApp:
    """Has one app train the rounds of one run."""

    def __init__(self, config: FlowerConfig, app: Callable[..., Any], context: Any) -> None:
        """Takes a `ClientApp` and the `SiteContext` of its calls."""
        self._config, self._app, self._context = config, app, context

    def train_round(self, model: Arrays, round_index: int, num_rounds: int) -> Update:
        """Has the app train from `model` and returns the difference.

        Args:
            model: Global weights at the start of the round; the app gets a copy.
            round_index: 0-based round; Flower counts from 1, and so does the app's message.
            num_rounds: Planned rounds.

        Raises:
            TrainingError: There is no training case, or the app failed.
            UpdateError: What it answered is no update; see `update_of`.
        """
        cases = len(self._context.cases)
        if not cases:
            raise TrainingError("this site has no training case; it can only evaluate")
        try:
            reply = self._app(self._message(model, round_index, num_rounds), self._context)
            failed = reply.has_error()
        except Exception as error:
            raise TrainingError(_failure(self._config.app, "failed", error)) from None
        if failed:
            raise TrainingError(f"the Flower app {self._config.app!r} of this site answered with an error")
        return update_of(reply.content, model, cases)

    def _message(self, model: Arrays, round_index: int, num_rounds: int) -> Any:
        from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict

        told = {"server-round": round_index + 1, "num-rounds": num_rounds}
        content = RecordDict(
            {
                ARRAYS: ArrayRecord({name: Array(array) for name, array in model.items()}),
                "config": ConfigRecord({**self._config.run_config, **told}),
            }
        )
        return Message(content=content, dst_node_id=1, message_type=MessageType.TRAIN)


def _failure(name: str, what: str, error: Exception) -> str:
    """Logs where an app failed, and returns a reason; the error's own text may name a patient and is in neither."""
    kind, places = type(error).__name__, "".join(traceback.format_tb(error.__traceback__))
    logger.error("event=flower_app_failed type=%s at\n%s", kind, places)
    return f"the Flower app {name!r} of this site {what} ({kind}); the site's trainer.log says where"
