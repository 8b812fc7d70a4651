"""Which lines of an audit log are wanted: by run, site, kind and time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fedvoxel.governance.audit_check import Line


@dataclass(frozen=True)
class Choice:
    """Says which lines are wanted; None wants all.

    Attributes:
        since: The first moment (aware).
        until: The moment (aware) before which a line must have been written.
    """

    run: str | None = None
    site: str | None = None
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def of(self, lines: Sequence[Line]) -> list[Line]:
        """Returns the wanted lines."""
        return [line for line in lines if self._wants(line)]

    def _wants(self, line: Line) -> bool:
        entry, event = line
        at = datetime.fromisoformat(entry.at)
        asked = ((self.run, event.run_key), (self.site, event.site), (self.kind, event.kind))
        if any(wanted is not None and wanted != found for wanted, found in asked):
            return False
        return not ((self.since and at < self.since) or (self.until and at >= self.until))
