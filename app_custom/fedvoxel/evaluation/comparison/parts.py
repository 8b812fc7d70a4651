"""Keeps each finished part of a long comparison or benchmark, so that a repeated command does only what is missing.

A part is one configuration, or one configuration and seed. It is a small JSON file that also holds what was asked for:
a part that was measured under another configuration is measured again. Parts are readable by their owner only: some
hold scores of single cases.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvoxel.config import read_json
from fedvoxel.errors import ConfigError
from fedvoxel.records.atomic import write_json
from fedvoxel.records.canonical import sha256_of

Values = dict[str, Any]
"""What a part found out; JSON values."""


@dataclass(frozen=True)
class Parts:
    """Is a folder of finished parts."""

    folder: Path

    def get(self, name: str, configuration: Mapping[str, Any]) -> Values | None:
        """Returns a part that is finished under this configuration, else None."""
        try:
            kept = read_json(self._path(name), "a finished part")
        except ConfigError:
            return None
        if not isinstance(kept, dict) or kept.get("configuration") != sha256_of(dict(configuration)):
            return None
        values: Values = kept["values"]
        return values

    def run(self, name: str, configuration: Mapping[str, Any], measure: Callable[[], Values]) -> Values:
        """Returns the finished part `name`; measures and keeps it first where it is missing.

        Args:
            name: Names the part's file.
            configuration: Everything that the result depends on; JSON values.
            measure: Finds out the values, JSON too; what it raises leaves no part behind.
        """
        found = self.get(name, configuration)
        if found is None:
            found = measure()
            self.keep(name, configuration, found)
        return found

    def keep(self, name: str, configuration: Mapping[str, Any], values: Values) -> None:
        """Keeps a part that was finished under this configuration, in place of any other of its name."""
        write_json(self._path(name), {"configuration": sha256_of(dict(configuration)), "values": values}, mode=0o600)

    def forget(self) -> None:
        """Removes every finished part."""
        for path in self.folder.glob("*.json"):
            path.unlink()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"
