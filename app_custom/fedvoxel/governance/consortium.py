"""A provisioned consortium as it lies on disk: whose kit is where.

`consortium.json` in the workspace points at the current kits. It is written last, so that a reader sees the old kits
or the new ones.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.errors import ConfigError, ConsortiumError
from fedvoxel.records.atomic import write_json

RECORD = "consortium.json"


class ConsortiumRecord(FrozenModel):
    """Is the content of `consortium.json`; `folder` is relative to it, so that a workspace can be moved."""

    schema_version: Literal[1] = 1
    project: str
    file_sha256: str
    folder: str
    server: str
    sites: tuple[str, ...]
    people: dict[str, str]
    relays: tuple[str, ...] = ()


@dataclass(frozen=True)
class Consortium:
    """Is a workspace with startup kits.

    Attributes:
        workspace: The folder given to `fedvoxel consortium create`, absolute.
        record: Who takes part, and where the kits are.
    """

    workspace: Path
    record: ConsortiumRecord

    @property
    def folder(self) -> Path:
        """Is the folder that holds the kits."""
        return self.workspace / self.record.folder

    @property
    def sites(self) -> tuple[str, ...]:
        """Are the names of the sites."""
        return self.record.sites

    @property
    def server_kit(self) -> Path:
        """Is the server's kit."""
        return self.kit(self.record.server)

    def kit(self, name: str) -> Path:
        """Returns the kit of a server, relay, site or person.

        Raises:
            ConsortiumError: Nobody of that name takes part.
        """
        names = (self.record.server, *self.record.relays, *self.record.sites, *self.record.people)
        if name not in names:
            raise ConsortiumError(
                f"{name} does not take part in {self.record.project}; expected one of {', '.join(names)}"
            )
        return self.folder / name

    def person(self, role: str) -> str:
        """Returns the name of the first person with `role`.

        Raises:
            ConsortiumError: Nobody has it.
        """
        for name, has_role in self.record.people.items():
            if has_role == role:
                return name
        raise ConsortiumError(f"nobody in {self.record.project} has the role {role}; add one to the consortium file")


def authority_folder(workspace: Path) -> Path:
    """Returns where a workspace has its certificate authority."""
    return workspace.resolve() / "authority"


def load_consortium(workspace: Path) -> Consortium:
    """Reads the consortium that was made in `workspace`.

    Raises:
        ConsortiumError: There is none.
    """
    workspace = workspace.resolve()
    try:
        record = load_json_config(ConsortiumRecord, workspace / RECORD, f"the record of the consortium in {workspace}")
    except ConfigError as error:
        raise ConsortiumError(f"{error}; make the kits with: fedvoxel consortium create") from None
    return Consortium(workspace, record)


def save_consortium(consortium: Consortium) -> None:
    """Writes the workspace's `consortium.json`."""
    write_json(consortium.workspace / RECORD, consortium.record.model_dump(mode="json"))
