"""Has one site after another make the first model, which every site draws from the job's seed alike."""

from collections.abc import Callable, Sequence

from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.errors import ConfigError, SilentSitesError, UpdateError
from fedvoxel.federation.absences import Absences
from fedvoxel.federation.recorder import RunRecorder
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.gathered import Gathered
from fedvoxel.flare.messages import NO_ARRAYS, TASK_INITIALIZE
from fedvoxel.updates.update import Arrays, check_values

Ask = Callable[..., Gathered]


def first_model(ask: Ask, sites: Sequence[str], wait: Wait, recorder: RunRecorder) -> Arrays:
    """Returns the first model that a site gives.

    Args:
        ask: `SiteTasks.ask`.
        sites: Who is asked, in this order.
        wait: How long for each.
        recorder: Keeps who gave none.

    Raises:
        ConfigError: None did.
        SilentSitesError: None did, and of some of them nothing came.
        JobError: The run was aborted meanwhile.
        LedgerError: The audit log cannot be trusted or written.
    """
    received: dict[str, Arrays] = {}

    def receive(site: str, reply: FLModel) -> None:
        arrays: Arrays = reply.params or {}
        if not arrays:
            raise UpdateError("an empty initial model")
        check_values(arrays)
        received[site] = arrays

    absent, silent = Absences(), set[str]()
    try:
        for site in sites:
            gathered = ask(TASK_INITIALIZE, FLModel(metrics=dict(NO_ARRAYS)), [site], wait, receive)
            if site in received:
                return received[site]
            absent = absent.then(Absences(missing=gathered.missing, refused=gathered.refused))
            silent |= gathered.silent
    finally:
        recorder.close_first_model(absent, next(iter(received), None))
    said = "; ".join(f"{site}: {reason}" for site, reason in (absent.missing | absent.refused).items())
    raise (SilentSitesError if silent else ConfigError)(f"no site could build the initial model ({said})")
