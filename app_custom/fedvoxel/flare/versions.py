"""How server and sites tell one another their versions: in the context that FLARE sends with every request.

A site tells with its first request for a task, before it is given any; the server tells with every task that it gives.
So each side decides before anybody trains: see `federation.versions`.
"""

from collections.abc import Callable

from nvflare.apis.client import Client
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.wf_comm_spec import WFCommSpec
from nvflare.private.defs import SpecialTaskName

from fedvoxel.errors import VersionError
from fedvoxel.federation.versions import MessageKind, own_record, read_record, why_declined
from fedvoxel.flare.exchange import Exchange
from fedvoxel.flare.messages import (
    SECURE_TASKS,
    TASK_CALIBRATE_FIRST,
    TASK_CALIBRATE_SECOND,
    TASK_DRIFT_WATCH,
    TASK_READER_STUDY,
    TASK_STATISTICS,
)

VERSIONS_PROPERTY = "fedvoxel_versions"
"""The public property of a participant's context that holds its `VersionRecord`."""

_KINDS: dict[str, MessageKind] = {
    **dict.fromkeys(SECURE_TASKS, "secure_aggregation"),
    TASK_STATISTICS: "statistics",
    TASK_CALIBRATE_FIRST: "calibration",
    TASK_CALIBRATE_SECOND: "calibration",
    TASK_READER_STUDY: "reader_study",
    TASK_DRIFT_WATCH: "drift_watch",
}


def kind_of(task_name: str) -> MessageKind:
    """Returns the kind of message that a task is."""
    return _KINDS.get(task_name, "rounds")


def tell_versions(fl_ctx: FLContext) -> None:
    """Has this participant's versions go with all that it sends in the job from now on."""
    fl_ctx.set_prop(VERSIONS_PROPERTY, own_record().model_dump(mode="json"), private=False, sticky=True)


def meet_sites(
    communicator: WFCommSpec, exchange: Callable[[], Exchange], releases: dict[str, str], is_out: Callable[[str], bool]
) -> None:
    """Has a site that comes for a task looked at before it can be given any.

    FLARE's events do not say who comes but by the site's own word; here it is the client that FLARE has authenticated,
    so that nobody can have another site declined.

    Args:
        communicator: Gives FLARE's tasks out.
        exchange: Returns the open one, in which a site that is not understood is noted with the reason.
        releases: The release that each site runs, which is noted here.
        is_out: Says whether a site may not be given anything.
    """
    give = communicator.process_task_request

    def met(client: Client, fl_ctx: FLContext) -> tuple[str, str, Shareable | None]:
        site, asked = fl_ctx.get_peer_context(), exchange()
        told = site.get_prop(VERSIONS_PROPERTY) if isinstance(site, FLContext) else None
        record = read_record(told)
        if record:
            releases[client.name] = record.package
        reason = why_declined(kind_of(asked.task_name), client.name, told) if asked.task_name else None
        if reason:
            asked.failed[client.name] = reason
        if reason or is_out(client.name):
            return SpecialTaskName.TRY_AGAIN, "", None
        given: tuple[str, str, Shareable | None] = give(client, fl_ctx)
        return given

    communicator.process_task_request = met


def server_declined(task_name: str, fl_ctx: FLContext) -> str | None:
    """Returns why a site does not answer the server that gave it a task; None where it does."""
    peer = fl_ctx.get_peer_context()
    told = peer.get_prop(VERSIONS_PROPERTY) if isinstance(peer, FLContext) else None
    return why_declined(kind_of(task_name), "the server", told)


def check_server(task_name: str, fl_ctx: FLContext) -> None:
    """Checks, before a site does anything for a task, that it and the server understand one another.

    Raises:
        VersionError: They do not.
    """
    reason = server_declined(task_name, fl_ctx)
    if reason:
        raise VersionError(reason)
