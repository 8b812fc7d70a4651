"""Messages about one model: the change for a site that holds the last one, the whole for a site that does not."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from fedvoxel.federation.broadcast import Broadcast
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.gathered import Gathered
from fedvoxel.flare.messages import NO_ARRAYS
from fedvoxel.flare.site_tasks import OnReply
from fedvoxel.updates.compression.payload import PAYLOAD, as_array

Ask = Callable[..., Gathered]


class ModelMessages:
    """Makes the messages that bring sites to a model."""

    def __init__(self, sent: Broadcast, meta: Mapping[str, Any], **rounds: int) -> None:
        """Takes what is sent.

        Args:
            sent: The model, and what leads there from the one that the sites hold.
            meta: What is said beside it.
            rounds: `current_round` and `total_rounds`.
        """
        self._sent, self._meta, self._rounds = sent, meta, rounds

    def change(self) -> FLModel:
        """Returns the message for sites that hold the base, or where there is none, for all."""
        sent = self._sent
        if sent.base is None:
            return self.whole()
        if sent.payload is None:
            return FLModel(metrics=dict(NO_ARRAYS), **self._said(sent.base))
        params = {PAYLOAD: as_array(sent.payload)}
        return FLModel(params_type=ParamsType.FULL, params=params, **self._said(sent.base))

    def whole(self) -> FLModel:
        """Returns the message with the model itself."""
        return FLModel(params_type=ParamsType.FULL, params=dict(self._sent.held), **self._said(None))

    def exchange(self, ask: Ask, task_name: str, sites: Collection[str], wait: Wait, on_reply: OnReply) -> Gathered:
        """Asks all sites, and once more, with the whole model, those that say that they lack it.

        Args:
            ask: `SiteTasks.ask`.
            task_name: The question.
            sites: Who is asked.
            wait: How long to wait, each time.
            on_reply: Takes each reply.

        Returns:
            Who gave no usable answer and why.
        """
        gathered = ask(task_name, self.change(), sites, wait, on_reply)
        lacking = gathered.lacking
        if lacking:
            again = ask(task_name, self.whole(), lacking, wait, on_reply)
            gathered = gathered.asked_again(lacking, again)
        return gathered

    def _said(self, base: str | None) -> dict[str, Any]:
        return {"meta": dict(self._meta) | {"base": base}, **self._rounds}
