"""How server and sites tell one another their versions: in the context that FLARE sends with every request.

A site tells with its first request for a task, before it is given any; the server tells with every task that it gives.
So each side decides before anybody trains: see `federation.versions`.
"""

from nvflare.apis.fl_context import FLContext

from fedvoxel.errors import VersionError
from fedvoxel.federation.versions import MessageKind, own_record, read_record, why_declined
from fedvoxel.flare.exchange import Exchange
from fedvoxel.flare.messages import (
    SECURE_TASKS,
    TASK_CALIBRATE_FIRST,
    TASK_CALIBRATE_SECOND,
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
}


def kind_of(task_name: str) -> MessageKind:
    """Returns the kind of message that a task is."""
    return _KINDS.get(task_name, "rounds")


def tell_versions(fl_ctx: FLContext) -> None:
    """Has this participant's versions go with all that it sends in the job from now on."""
    fl_ctx.set_prop(VERSIONS_PROPERTY, own_record().model_dump(mode="json"), private=False, sticky=True)


def meet(site: FLContext, exchange: Exchange, releases: dict[str, str]) -> None:
    """Looks at what a site that comes for a task tells of itself, before it can be given any.

    Args:
        site: The context that came with its request.
        exchange: The open task, which a site that is not understood is left out of.
        releases: The release that each site runs, which is noted here.
    """
    name, told = site.get_identity_name(), site.get_prop(VERSIONS_PROPERTY)
    record = read_record(told)
    if record:
        releases[name] = record.package
    reason = why_declined(kind_of(exchange.task.name), name, told) if exchange.task else None
    if reason:
        exchange.decline(name, reason)


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
