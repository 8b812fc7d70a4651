"""Where a site or the server keeps what must outlive a job: `<kit>/state/runs/<run key>/`."""

from pathlib import Path

from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.workspace import Workspace

from fedvoxel.errors import ConfigError
from fedvoxel.records.names import RUN_KEY


def check_run_key(run_key: str) -> str:
    """Returns `run_key` if it can name a folder.

    Raises:
        ConfigError: It is empty, too long, or holds anything but letters, digits, `_`, `.` and `-`.
    """
    if not isinstance(run_key, str) or not RUN_KEY.fullmatch(run_key):
        raise ConfigError(
            "run_key: expected 1 to 80 letters, digits, '_', '.' or '-', beginning with a letter or digit"
        )
    return run_key


def workspace_of(fl_ctx: FLContext) -> Workspace:
    """Returns the workspace that FLARE runs this participant in."""
    workspace: Workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT) or fl_ctx.get_engine().get_workspace()
    return workspace


def startup_folder(fl_ctx: FLContext) -> Path:
    """Returns the kit's `startup/` folder, which holds this participant's certificate, key and root."""
    return Path(workspace_of(fl_ctx).get_startup_kit_dir()).resolve()


def state_folder(fl_ctx: FLContext) -> Path:
    """Returns this participant's `state/` folder, which may not be there yet."""
    return Path(workspace_of(fl_ctx).get_root_dir()).resolve() / "state"


def run_state_folder(fl_ctx: FLContext, run_key: str) -> Path:
    """Returns this participant's folder for one run, made if need be and readable by its owner only."""
    folder = state_folder(fl_ctx) / "runs" / check_run_key(run_key)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
