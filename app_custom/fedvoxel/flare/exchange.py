"""One task that sites were asked, while it is open, and the bytes of what they came for and answered."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.fuel.utils import fobs

from fedvoxel.flare.fetching import size_bytes
from fedvoxel.flare.messages import SECURE_VALUES


@dataclass
class Exchange:
    """Is one task that sites were asked, while it is open: who has come for it, answered, and failed and why.

    Attributes:
        fetched: Each site that was given the task, as often as it was.
        task_name: Its name; empty before the first one.
    """

    fetched: list[str] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    receive: Callable[[FLModel], bool] | None = None
    task_name: str = ""


@dataclass
class LineBytes:
    """Counts the bytes that went to the sites and came from them.

    Attributes:
        down: Those of arrays to the sites.
        up: Those of arrays from the sites.
        told_down: Those of what was said to them for secure aggregation, as FLARE packs it.
        told_up: Those of what they said for it.
    """

    down: int = 0
    up: int = 0
    told_down: int = 0
    told_up: int = 0

    @contextmanager
    def sending(self, exchange: Exchange, message: FLModel) -> Iterator[None]:
        """Counts a message each time that a site was given it, however its exchange ends."""
        arrays, told = size_bytes(message.params), _told_bytes(message)
        try:
            yield
        finally:
            self.down += len(exchange.fetched) * arrays
            self.told_down += len(exchange.fetched) * told

    def received(self, reply: FLModel) -> None:
        """Counts a reply."""
        self.up += size_bytes(reply.params)
        self.told_up += _told_bytes(reply)

    def taken(self) -> "LineBytes":
        """Returns what was counted since the last time, and starts at 0 again."""
        counted = replace(self)
        self.down = self.up = self.told_down = self.told_up = 0
        return counted


def _told_bytes(message: FLModel) -> int:
    told = {key: value for key, value in (message.meta or {}).items() if key in SECURE_VALUES}
    return len(fobs.dumps(told)) if told else 0
