"""The forms of a job's three JSON files: `meta.json` and what FLARE builds at the server and at the sites.

FLARE ignores misspelt keys; here an unknown one is refused.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.federation.promise import Promise

ALL_SITES = "@ALL"
SERVER = "server"
JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")

Name = Annotated[str, Field(pattern=f"^{JOB_NAME.pattern}$")]
ClassPath = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$")]


class JobMeta(FrozenModel):
    """Is the content of `meta.json`.

    Attributes:
        resource_spec: What the job needs at each site, such as {"hospital-a": {"num_of_gpus": 1}}.
        min_clients: Sites without which the job does not start.
        mandatory_clients: Sites that must be among them.
        deploy_map: The one app and where it goes: ["@ALL"], or "server" and the sites by name.
        scope: Privacy scope; the sites' default when left out.
        promises: What the job promises each patient or hospital; refused where its configuration gives less.
    """

    name: Name
    resource_spec: dict[str, dict[str, int | float | str]] = Field(default_factory=dict)
    min_clients: int = Field(ge=1, le=1_000_000)
    mandatory_clients: tuple[str, ...] = ()
    deploy_map: dict[Name, tuple[str, ...]]
    scope: str | None = None
    promises: Promise | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.deploy_map) != 1:
            raise ValueError(f"deploy_map: expected one app for all participants, got {len(self.deploy_map)}")
        places = next(iter(self.deploy_map.values()))
        if places == (ALL_SITES,):
            return self
        if SERVER not in places or len(places) < 2 or len(set(places)) < len(places) or ALL_SITES in places:
            raise ValueError('deploy_map: expected ["@ALL"], or "server" and the names of sites, each once')
        if self.min_clients > len(places) - 1:
            raise ValueError(f"min_clients is {self.min_clients}, but deploy_map names {len(places) - 1} sites")
        strangers = sorted(set(self.mandatory_clients) - set(places))
        if strangers:
            raise ValueError(f"mandatory_clients: {', '.join(strangers)} not in deploy_map")
        return self

    @property
    def sites(self) -> tuple[str, ...] | None:
        """Are the sites that the job names; None when it goes to all that are connected."""
        places = next(iter(self.deploy_map.values()))
        return None if places == (ALL_SITES,) else tuple(place for place in places if place != SERVER)


class Component(FrozenModel):
    """Names a class that FLARE builds, and its arguments."""

    id: str | None = None
    path: ClassPath
    args: dict[str, Any] = Field(default_factory=dict)


class FilterChain(FrozenModel):
    """Names the filters of some tasks."""

    tasks: tuple[str, ...] = Field(min_length=1)
    filters: tuple[Component, ...]


class Extras(FrozenModel):
    """Is what a server's and a client's file have in common."""

    format_version: Literal[2]
    components: tuple[Component, ...] = ()
    task_data_filters: tuple[FilterChain, ...] = ()
    task_result_filters: tuple[FilterChain, ...] = ()

    def extra_components(self) -> tuple[Component, ...]:
        """Returns the components and filters beside the workflow or executor."""
        chains = (*self.task_data_filters, *self.task_result_filters)
        return (*self.components, *(part for chain in chains for part in chain.filters))


class ServerSettings(FrozenModel):
    """Sets how often sites ask for work, in seconds."""

    task_request_interval: float = Field(default=2.0, gt=0, le=60)


class ServerFile(Extras):
    """Is the content of `config_fed_server.json`."""

    server: ServerSettings = ServerSettings()
    dead_client_grace_period: float | None = Field(default=None, gt=0)
    dead_client_check_lead_time: float | None = Field(default=None, gt=0)
    workflows: tuple[Component, ...] = Field(min_length=1, max_length=1)


class ExecutorEntry(FrozenModel):
    """Says which tasks an executor answers."""

    tasks: tuple[str, ...] = Field(min_length=1)
    executor: Component


class ClientFile(Extras):
    """Is the content of `config_fed_client.json`."""

    executors: tuple[ExecutorEntry, ...] = Field(min_length=1, max_length=1)
