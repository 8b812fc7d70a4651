"""Which requests of the server a site does not even look at: those about a job whose id is none.

FLARE keeps a job in the folder of the kit that is called as its id, takes any plain name for one, and removes that
folder when it is told to. A server that calls a job `state` would so remove the site's ledgers, and with `local` its
policy.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from nvflare.apis.job_def import is_valid_job_id
from nvflare.private.admin_defs import Message, error_reply
from nvflare.private.defs import RequestHeader

Process = Callable[[Message, Any], Message]
"""Is the `process` of one of FLARE's `RequestProcessor`."""

NO_JOB = "the server asks for something with a job whose id is none: expected a UUID"


def for_jobs_only(process: Process, tell: Callable[[str, str], None]) -> Process:
    """Returns FLARE's way of doing what the server asks for, that does nothing about a job whose id is none.

    Args:
        process: FLARE's own.
        tell: Takes what is no id, and why it is refused.
    """

    @wraps(process)
    def processed(request: Message, app_ctx: Any) -> Message:
        job_id = request.get_header(RequestHeader.JOB_ID)
        if job_id in (None, "") or is_valid_job_id(job_id):
            return process(request, app_ctx)
        tell(str(job_id), NO_JOB)
        return error_reply(NO_JOB)

    return processed
