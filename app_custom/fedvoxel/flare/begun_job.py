"""Has a site's audit log say that a job begins there, on which cohort: every kind of job does so in the same words."""

import logging
from pathlib import Path

from nvflare.apis.fl_context import FLContext

from fedvoxel.errors import FedVoxelError
from fedvoxel.flare.messages import one_line
from fedvoxel.flare.site_audit import record_job
from fedvoxel.flare.state_folder import workspace_of
from fedvoxel.volumes.cohort_hash import cohort_hash

_UNWRITTEN = "this site's audit log cannot be written, so that it takes no job; its own log says why"

_logger = logging.getLogger(__name__)


def begun_job(fl_ctx: FLContext, cohort: object, run_key: str = "", problem: str | None = None) -> str | None:
    """Records that a job begins here, or why not; returns why not, in words that may leave the site.

    Args:
        fl_ctx: Of the job's process.
        cohort: The job's word for the cohort, which may be anything.
        run_key: The run; empty for a job that has none.
        problem: Why the job may not begin, as far as that is known; None where it may.
    """
    named = str(cohort)
    local = Path(workspace_of(fl_ctx).get_site_config_dir()).resolve()
    try:
        record_job(fl_ctx, run_key, (named, cohort_hash(local, named)), problem)
    except FedVoxelError as error:
        _logger.error("event=job_refused reason=%s", one_line(str(error)))
        return _UNWRITTEN
    return problem
