"""The run that a pack is about, and the kits that were named beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedvoxel.errors import ConfigError
from fedvoxel.export.pseudonyms import pseudonyms_of
from fedvoxel.export.trust import Trust
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome
from fedvoxel.governance.kit import Kit
from fedvoxel.plain_file import read_plain
from fedvoxel.records.canonical import sha256_of_file


@dataclass(frozen=True)
class Subject:
    """Is what a pack is about.

    Attributes:
        folder: The downloaded job.
        workspace: Where in it the outcome lies.
        outcome: What it says.
        server: The server's kit.
        sites: The kits of hospitals that were named, by the hospital's name.
        trust: Whose signatures count.
        now: The present (aware).
    """

    folder: Path
    workspace: Path
    outcome: RunOutcome
    server: Kit
    sites: Mapping[str, Kit]
    trust: Trust
    now: datetime

    def __post_init__(self) -> None:
        """Refuses kits that are not what they are named as.

        Raises:
            ConfigError: The server's kit is another participant's, or a hospital has no part in the run.
        """
        if self.server.kind != "server":
            raise ConfigError(f"--kit: expected the server's kit, got that of a {self.server.kind}")
        for name, kit in self.sites.items():
            if kit.kind != "site":
                raise ConfigError(f"--site-kit: expected a hospital's kit, got that of a {kit.kind}")
            if name not in self.outcome.sites:
                raise ConfigError(f"--site-kit: {name} has no part in run {self.outcome.run_key}; leave it out")

    @property
    def outcome_sha256(self) -> str:
        """Is the hash of the outcome's file."""
        return sha256_of_file(self.workspace / OUTCOME_FILE)

    @property
    def pseudonyms(self) -> dict[str, str]:
        """Are the hospitals' pseudonyms by name, the same as in a package of this run."""
        return pseudonyms_of(read_plain(self.workspace / OUTCOME_FILE), self.outcome.sites)

    def of_this_run(self, run_key: str, job_id: str) -> bool:
        """Says whether something was recorded of the very job that the outcome is of."""
        return (run_key, job_id) == (self.outcome.run_key, self.outcome.job_id)
