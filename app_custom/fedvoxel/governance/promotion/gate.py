"""One gate: what is asked, what was found, and whether that is enough."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Gate:
    """Is a line of the table that people read before a package is promoted.

    Attributes:
        name: What is looked at.
        asked: What the policy asks.
        found: What was found.
        green: Whether that is enough.
    """

    name: str
    asked: str
    found: str
    green: bool

    def as_json(self) -> dict[str, Any]:
        """Returns the gate as JSON values."""
        return asdict(self)
