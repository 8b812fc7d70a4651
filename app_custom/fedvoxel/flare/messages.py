"""How FedVoxel's values travel as FLARE messages: task names, header keys, and the reply that carries an error."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.errors import UpdateError

TASK_INITIALIZE = "initialize"
TASK_TRAIN = "train"
TASK_VALIDATE = "validate"
TASK_SUBMIT_MODEL = "submit_model"
TASK_STATISTICS = "statistics"
TASK_CHECK = "check"
TASK_READER_STUDY = "reader_study"
TASK_DRIFT_WATCH = "drift_watch"
TASK_CALIBRATE_FIRST = "calibrate_first"
TASK_CALIBRATE_SECOND = "calibrate_second"
TASK_SECURE_KEYS = "secure_keys"
TASK_SECURE_SHARES = "secure_shares"
TASK_SECURE_CONFIRM = "secure_confirm"
TASK_SECURE_REVEAL = "secure_reveal"
SECURE_TASKS = (TASK_SECURE_KEYS, TASK_SECURE_SHARES, TASK_SECURE_CONFIRM, TASK_SECURE_REVEAL)
"""What a site is asked around a round of secure aggregation."""

SECURE_VALUES = frozenset(
    ("config", "roster", "alive", "confirmations", "secure", "keys", "shares", "confirmation", "revealed")
)
"""What server and sites tell one another for secure aggregation, beside the arrays."""

COUNTERSIGN_TOPIC = "fedvoxel.countersign"
"""The topic under which the server shows a site the head of its audit log, beside all tasks: jobs list their tasks, and
a job ends when its executors do not know one."""

STATS_GROUP = "fedvoxel"
"""Group under which controller and executor answer the console's show_stats."""

SITES_CHANGED = "fedvoxel_sites_changed"
"""What the server tells a job's process when a site of the job has registered anew."""

SITE_CONNECTED = "fedvoxel_site_connected"
"""What it tells when a site is there that was not when the job was offered to all that were."""

NO_ARRAYS = {"arrays": 0}
"""Stands where FLARE's model wants arrays or metrics, and an answer has none."""

LACKS_MODEL = "this site does not hold the model that the change is to; it needs the whole"
"""What a site answers that has missed a round, or lost its state: the server sends it the whole model."""

RESUMED_AS = "resumed_as"
"""What FLARE keeps of an interrupted job about the job that goes on with its run; empty until that is submitted."""

RESUME_WAITS = "resume_waits"
"""What FLARE keeps of such a job about what the next one waits for."""

_ERROR_HEADER = "fedvoxel_error"


def error_reply(message: str) -> Shareable:
    """Returns a failed reply that says why; FLARE's own replies hold only a code."""
    reply = make_reply(ReturnCode.EXECUTION_EXCEPTION)
    reply.set_header(_ERROR_HEADER, message)
    return reply


def error_of(reply: Shareable) -> str:
    """Returns why a reply failed, at most 500 characters on one line."""
    return one_line(str(reply.get_header(_ERROR_HEADER) or f"the site answered {reply.get_return_code()}"))


def one_line(text: str) -> str:
    """Returns a reason as the outcome keeps it: one line of at most 500 characters, and nothing but text in it.

    A reason quotes names that a site has sent. What is no character at all could not be written into the outcome, and
    what controls a terminal would do so wherever it is shown.
    """
    line = " ".join(text.split())[:500]
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)


def refusal_of(error: Exception) -> str:
    """Returns why a reply was not taken, as the outcome keeps it; what breaks the reading of a reply refuses it too."""
    return one_line(str(error)) if isinstance(error, UpdateError) else f"an unusable reply ({type(error).__name__})"


def result_reply(meta: dict[str, Any], arrays: Mapping[str, NDArray[Any]], difference: bool) -> Shareable:
    """Returns a good reply with JSON values and, where there are any, arrays.

    Args:
        meta: JSON values.
        arrays: Arrays by name, may be empty.
        difference: Whether the arrays are a difference to the model received, rather than a model.
    """
    if not arrays:
        return FLModelUtils.to_shareable(FLModel(metrics=dict(NO_ARRAYS), meta=meta))
    kind = ParamsType.DIFF if difference else ParamsType.FULL
    return FLModelUtils.to_shareable(FLModel(params_type=kind, params=dict(arrays), meta=meta))
