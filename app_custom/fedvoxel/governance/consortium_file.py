"""The consortium file: who takes part, in FLARE's project format, checked before FLARE sees it.

FLARE accepts misspelt keys in silence and tells of a wrong role only when someone logs in. What this module does not
know is refused, with one line that says what to do.
"""

import ipaddress
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, StringConstraints, model_validator

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.plain_file import read_plain

Role = Literal["project_admin", "org_admin", "lead", "member"]
HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]

_POLICY_BUILDER = "fedvoxel.flare.builders.SitePolicyBuilder"
_WORKSPACE_BUILDER = "nvflare.lighter.impl.workspace.WorkspaceBuilder"
_CERTIFICATE_BUILDER = "fedvoxel.flare.builders.CertificateBuilder"
_WITH_ROOT_KEY = ("nvflare.lighter.impl.cert.CertBuilder", "nvflare.lighter.impl.signature.SignatureBuilder")
_SERVER_KEYS = ("fed_learn_port", "admin_port", "default_host", "bind_host", "host_names")


class ListeningHost(FrozenModel):
    """Says where a relay listens, and what sites dial: FLARE knows one address for both.

    FLARE's own default is a connection in the clear; here it is mutual TLS or nothing.
    """

    default_host: HostName
    port: Port
    host_names: tuple[HostName, ...] | None = None
    scheme: Literal["http", "grpc", "tcp"] = "http"
    connection_security: Literal["mtls"] = "mtls"


class ConnectTo(FrozenModel):
    """Names the relay that a site, or another relay, connects to in the place of the server."""

    name: str


class Participant(FrozenModel):
    """Is one member of the consortium: the server, a relay, a hospital's site, or a person.

    `name` is what the certificate says. A server may say where it listens (`bind_host`), where sites dial
    (`default_host`) and which further names its certificate holds (`host_names`). A relay has a `listening_host`, and
    who uses it a `connect_to`.
    """

    name: Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9@._-]*$")]
    type: Literal["server", "relay", "client", "admin"]
    org: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,20}$")]
    role: Role | None = None
    fed_learn_port: Port | None = None
    admin_port: Port | None = None
    default_host: HostName | None = None
    bind_host: str | None = None
    host_names: tuple[HostName, ...] | None = None
    capacity: dict[str, int] | None = None
    listening_host: ListeningHost | None = None
    connect_to: ConnectTo | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if (self.type == "admin") != (self.role is not None):
            raise ValueError(f"{self.name}: a person (type admin) has a role, the server and the sites have none")
        if self.type == "admin" and "@" not in self.name:
            raise ValueError(f"{self.name}: a person's name is an e-mail address")
        if self.type != "admin" and "@" in self.name:
            raise ValueError(f"{self.name}: only people have e-mail addresses; is type: admin missing?")
        server_keys = [key for key in _SERVER_KEYS if getattr(self, key) is not None]
        if server_keys and self.type != "server":
            raise ValueError(f"{self.name}: {', '.join(server_keys)} belong to the server")
        if (self.type == "relay") != (self.listening_host is not None):
            raise ValueError(f"{self.name}: a relay has a listening_host, and nobody else has")
        if self.connect_to and self.type not in ("relay", "client"):
            raise ValueError(f"{self.name}: connect_to is for sites and relays; {self.type} connects to the server")
        if self.bind_host is not None and not _can_bind(self.bind_host):
            raise ValueError(
                f"{self.name}: bind_host is a loopback address (127.0.0.1) or 0.0.0.0 for all interfaces, got "
                f"{self.bind_host!r}; FLARE binds nothing else, close other interfaces in the firewall"
            )
        return self


class BuilderEntry(FrozenModel):
    """Names one of the builders that make the kits, with its arguments."""

    path: str
    args: dict[str, Any] = Field(default_factory=dict)


class CertificateTimes(FrozenModel):
    """Says for how many days the authority's root, everyone's certificate and the revocation list are valid."""

    root_days: Annotated[int, Field(ge=1, le=7300, strict=True)] = 3650
    leaf_days: Annotated[int, Field(ge=1, le=397, strict=True)] = 90
    list_days: Annotated[int, Field(ge=1, le=397, strict=True)] = 90


class ConsortiumFile(FrozenModel):
    """Is the whole consortium file."""

    api_version: Literal[3]
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
    description: str = ""
    participants: tuple[Participant, ...]
    builders: tuple[BuilderEntry, ...]

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        twice = [name for name, count in Counter(p.name for p in self.participants).items() if count > 1]
        if twice:
            raise ValueError(f"participants: {', '.join(twice)} named twice; every name is used once")
        servers = [p.name for p in self.participants if p.type == "server"]
        if len(servers) != 1:
            raise ValueError(f"participants: expected exactly one of type server, got {len(servers)}: {servers}")
        if not self.sites:
            raise ValueError("participants: expected at least one hospital (type client), got none")
        unknown = [p.name for p in self.participants if p.connect_to and p.connect_to.name not in self._relay_names]
        if unknown:
            raise ValueError(f"participants: {', '.join(unknown)} connect_to a name that is no relay's in this file")
        paths = [builder.path for builder in self.builders]
        if paths[:2] != [_WORKSPACE_BUILDER, _POLICY_BUILDER]:
            raise ValueError(
                f"builders: expected {_WORKSPACE_BUILDER} and then {_POLICY_BUILDER} as the first two; "
                "without it the kits are not safe"
            )
        if paths.count(_CERTIFICATE_BUILDER) != 1 or set(paths) & set(_WITH_ROOT_KEY):
            raise ValueError(
                f"builders: expected {_CERTIFICATE_BUILDER} once, in the place of FLARE's CertBuilder and "
                "SignatureBuilder, which need the root's private key and write it down; take those two out"
            )
        _ = self.certificates
        return self

    @property
    def certificates(self) -> CertificateTimes:
        """Is how long certificates are valid: the arguments of the builder that puts them into the kits."""
        entry = next(builder for builder in self.builders if builder.path == _CERTIFICATE_BUILDER)
        return CertificateTimes.model_validate(entry.args)

    def with_certificates(self, folder: Path) -> dict[str, Any]:
        """Returns the file as FLARE reads it, whose builder takes everyone's certificate files from `folder`."""
        values = self.model_dump(mode="json", exclude_none=True)
        for builder in values["builders"]:
            if builder["path"] == _CERTIFICATE_BUILDER:
                builder["args"] = {"folder": str(folder)}
        return values

    @property
    def server(self) -> Participant:
        """Is the one server."""
        return next(p for p in self.participants if p.type == "server")

    @property
    def sites(self) -> tuple[Participant, ...]:
        """Are the hospitals' sites, in the file's order."""
        return tuple(p for p in self.participants if p.type == "client")

    @property
    def relays(self) -> tuple[Participant, ...]:
        """Are the relays, in the file's order."""
        return tuple(p for p in self.participants if p.type == "relay")

    @property
    def _relay_names(self) -> set[str]:
        return {relay.name for relay in self.relays}

    @property
    def people(self) -> tuple[Participant, ...]:
        """Are the people, in the file's order."""
        return tuple(p for p in self.participants if p.type == "admin")


def load_consortium_file(path: Path) -> ConsortiumFile:
    """Reads and checks a consortium file.

    Raises:
        ConfigError: The file is missing, is not YAML, or does not describe a consortium; the message names the key.
    """
    try:
        values = yaml.safe_load(read_plain(path).decode("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"the consortium file is missing: expected a file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the consortium file {path} cannot be read: {error}") from None
    except RecursionError:
        raise ConfigError(f"the consortium file {path} cannot be read: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"the consortium file {path} is not YAML: {' '.join(str(error).split())}") from None
    return parse_config(ConsortiumFile, values, f"the consortium file {path.name}")


def with_port(described: ConsortiumFile, port: int) -> ConsortiumFile:
    """Returns the same consortium with its server on another port.

    Raises:
        ConfigError: The port is not one.
    """
    values = described.model_dump()
    for participant in values["participants"]:
        if participant["type"] == "server":
            participant.update(fed_learn_port=port, admin_port=None)
    return parse_config(ConsortiumFile, values, "the consortium file with another port")


def _can_bind(host: str) -> bool:
    if host in ("localhost", "0.0.0.0"):  # noqa: S104 - a value that is compared, not bound
        return True
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False
