"""One task that sites were asked, while it is open, and the bytes of what they came for and answered."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.fuel.utils import fobs

from fedvoxel.flare.fetching import size_bytes
from fedvoxel.flare.messages import SECURE_VALUES


@dataclass
class Exchange:
    """Is one task that sites were asked, while it is open: who has come for it, answered, and failed and why.

    Attributes:
        fetched: Each site that was given the task, as often as it was.
    """

    fetched: list[str] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    receive: Callable[[FLModel], bool] | None = None


@dataclass
class LineBytes:
    """Counts the bytes that went to the sites and came from them."""

    down: int = 0
    up: int = 0

    @contextmanager
    def sending(self, exchange: Exchange, size_bytes: int) -> Iterator[None]:
        """Counts a message of `size_bytes` each time that a site was given it, however its exchange ends."""
        try:
            yield
        finally:
            self.down += len(exchange.fetched) * size_bytes

    def taken(self) -> "LineBytes":
        """Returns what was counted since the last time, and starts at 0 again."""
        counted = LineBytes(self.down, self.up)
        self.down = self.up = 0
        return counted


def content_bytes(model: FLModel) -> int:
    """Returns the bytes of a message's arrays and of what it says for secure aggregation, as FLARE packs that."""
    told = {key: value for key, value in (model.meta or {}).items() if key in SECURE_VALUES}
    return size_bytes(model.params) + (len(fobs.dumps(told)) if told else 0)
