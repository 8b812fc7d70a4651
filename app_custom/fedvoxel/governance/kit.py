"""A startup kit as it lies on disk: whose it is, which certificates it holds, and which server it talks to.

A kit is the folder that `nvflare provision` or `nvflare package` makes for one participant. Its name and organisation
are read from its certificate, since that is what the other side of the connection sees; file names are FLARE's.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cryptography import x509
from cryptography.x509.oid import NameOID

from fedvoxel.config import read_json
from fedvoxel.errors import ConfigError, ConsortiumError
from fedvoxel.plain_file import read_plain
from fedvoxel.records.pem import certificate_in

KitKind = Literal["server", "relay", "site", "person"]

RELAY_FILE = "relay__resources.json"
"""The file in a site's `local/` that names the relay which it connects to in the place of the server."""

STARTUP_FILES: dict[KitKind, str] = {
    "server": "fed_server.json",
    "relay": "fed_relay.json",
    "site": "fed_client.json",
    "person": "fed_admin.json",
}


@dataclass(frozen=True)
class ServerAddress:
    """Is where the sites find the server, or the relay before it (for a server's own kit: where it listens).

    `identity` is the name that the server's certificate must prove; empty in the server's own kit.
    """

    host: str
    port: int
    scheme: str
    identity: str = ""


@dataclass(frozen=True)
class Kit:
    """Is one participant's startup kit.

    Attributes:
        folder: The kit's folder, absolute; its `startup/` is the consortium's, its `local/` and `state/` are its
            owner's.
        kind: What its owner is.
        name: The certificate's common name: the site's, server's or person's name in the consortium.
        organisation: The certificate's organisation; empty when it names none.
        server: Where the server is.
        project: The name of the consortium.
    """

    folder: Path
    kind: KitKind
    name: str
    organisation: str
    server: ServerAddress
    project: str

    @property
    def startup(self) -> Path:
        """Is the folder with certificates and connection settings."""
        return self.folder / "startup"

    @property
    def local(self) -> Path:
        """Is the folder with the owner's own policy."""
        return self.folder / "local"

    @property
    def state(self) -> Path:
        """Is the folder with what must survive a job."""
        return self.folder / "state"

    @property
    def certificate(self) -> Path:
        """Is the owner's certificate (PEM)."""
        return self.startup / ("server.crt" if self.kind == "server" else "client.crt")

    @property
    def private_key(self) -> Path:
        """Is the owner's private key (PEM)."""
        return self.startup / ("server.key" if self.kind == "server" else "client.key")

    @property
    def root_certificate(self) -> Path:
        """Is the consortium's root certificate (PEM)."""
        return self.startup / "rootCA.pem"


def open_kit(folder: Path) -> Kit:
    """Reads the kit in `folder`.

    Raises:
        ConsortiumError: The folder is no kit, or its connection settings or certificate cannot be read.
    """
    folder = folder.resolve()
    kind = _kind_of(folder)
    startup = folder / "startup"
    try:
        settings = read_json(startup / STARTUP_FILES[kind], f"the startup file of kit {folder.name}")
        project, server = _connection(kind, settings)
        if kind == "site" and (folder / "local" / RELAY_FILE).is_file():
            server = _upstream(read_json(folder / "local" / RELAY_FILE, f"local/{RELAY_FILE}")["relay_config"])
    except (ConfigError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ConsortiumError(
            f"kit {folder.name}: startup/{STARTUP_FILES[kind]} does not say where the server is ({error}); "
            "ask the consortium's operator for a new kit"
        ) from None
    certificate = startup / ("server.crt" if kind == "server" else "client.crt")
    name, organisation = _owner_of(certificate, folder.name)
    return Kit(folder, kind, name, organisation, server, project)


def upstream_names(folder: Path) -> frozenset[str]:
    """Returns whom a site's kit connects to, by the names of their certificates: the server, and a relay before it.

    Raises:
        ConsortiumError: The folder is no site's kit, or does not say.
    """
    startup = STARTUP_FILES["site"]
    try:
        server = str(read_json(folder / "startup" / startup, f"startup/{startup}")["servers"][0]["identity"])
    except (ConfigError, KeyError, IndexError, TypeError) as error:
        raise ConsortiumError(f"startup/{startup} does not name the server ({error}); ask for a new kit") from None
    return frozenset({server, open_kit(folder).server.identity})


def _kind_of(folder: Path) -> KitKind:
    for kind, startup_file in STARTUP_FILES.items():
        if (folder / "startup" / startup_file).is_file():
            return kind
    names = ", ".join(STARTUP_FILES.values())
    raise ConsortiumError(
        f"{folder} is not a startup kit: expected a folder startup/ with one of {names}; "
        "give the folder that the consortium's operator sent, unpacked"
    )


def _connection(kind: KitKind, settings: Any) -> tuple[str, ServerAddress]:
    if kind == "person":
        admin = settings["admin"]
        return admin["project_name"], ServerAddress(
            admin["host"], int(admin["port"]), admin["scheme"], admin["server_identity"]
        )
    if kind == "relay":
        return settings["project_name"], _upstream(settings["connect_to"])
    server = settings["servers"][0]
    host, _, port = server["service"]["target"].rpartition(":")
    return server["name"], ServerAddress(host, int(port), server["service"]["scheme"], server.get("identity", ""))


def _upstream(settings: Any) -> ServerAddress:
    """Returns where a relay, or a site behind one, connects to."""
    host, _, port = settings["address"].rpartition(":")
    return ServerAddress(host, int(port), settings["scheme"], settings["identity"])


def _owner_of(certificate: Path, kit_name: str) -> tuple[str, str]:
    try:
        subject = certificate_in(read_plain(certificate)).subject
    except FileNotFoundError:
        raise ConsortiumError(
            f"kit {kit_name}: startup/{certificate.name} is missing; put the certificate there or ask for a new kit"
        ) from None
    except (OSError, ValueError) as error:
        raise ConsortiumError(
            f"kit {kit_name}: startup/{certificate.name} is not a PEM certificate ({error})"
        ) from None
    return _first(subject, NameOID.COMMON_NAME) or kit_name, _first(subject, NameOID.ORGANIZATION_NAME)


def _first(subject: x509.Name, attribute: x509.ObjectIdentifier) -> str:
    values = subject.get_attributes_for_oid(attribute)
    return str(values[0].value) if values else ""
