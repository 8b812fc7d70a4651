"""A quarter of a year, in UTC as the audit logs are."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from fedvoxel.errors import ConfigError

_NAME = re.compile(r"(2[0-9]{3})-Q([1-4])")


@dataclass(frozen=True)
class Quarter:
    """Is one, by its year and its number from 1."""

    year: int
    number: int

    @classmethod
    def named(cls, name: str) -> Self:
        """Returns the quarter of a name such as "2026-Q4".

        Raises:
            ConfigError: It is no such name.
        """
        found = _NAME.fullmatch(name)
        if found is None:
            raise ConfigError(f"expected a quarter such as 2026-Q4, got {name[:40]!r}")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of(cls, moment: datetime) -> Self:
        """Returns the quarter in which a moment (aware) lies."""
        at = moment.astimezone(UTC)
        return cls(at.year, (at.month + 2) // 3)

    @property
    def since(self) -> datetime:
        """Is its first moment."""
        return datetime(self.year, 3 * self.number - 2, 1, tzinfo=UTC)

    @property
    def until(self) -> datetime:
        """Is the moment before which it ends."""
        year, number = (self.year, self.number + 1) if self.number < 4 else (self.year + 1, 1)
        return datetime(year, 3 * number - 2, 1, tzinfo=UTC)

    def has(self, moment: datetime) -> bool:
        """Says whether a moment (aware) lies in it."""
        return self.since <= moment < self.until

    def has_text(self, moment: str) -> bool:
        """Says the same of a moment as a log has it."""
        return self.has(datetime.fromisoformat(moment))

    def __str__(self) -> str:
        return f"{self.year}-Q{self.number}"
