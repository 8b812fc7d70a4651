"""The builders that `nvflare provision` calls: one puts certificates into the kits, one makes each kit safe.

The second makes a kit safe before anyone touches it.
In the consortium file it stands right after FLARE's WorkspaceBuilder: FLARE finishes its builders in reverse, so that
everything else has been written by then, and the kits have not yet been moved to where they stay.
"""

import json
from pathlib import Path

from nvflare.lighter.entity import Project
from nvflare.lighter.spec import Builder, ProvisionContext

from fedvoxel.governance.kit import open_kit
from fedvoxel.governance.local_policy import environment, write_local_policy
from fedvoxel.governance.start_scripts import adapt_start_scripts
from fedvoxel.records.atomic import write_bytes, write_json, write_public, write_text

BIND_HOST = "bind_host"
"""The server's property that says where it listens: a loopback address, or all interfaces when it is missing."""


class CertificateBuilder(Builder):
    """Puts certificate files into the kits that were laid out for it; FLARE never sees the authority's key."""

    def __init__(self, folder: str) -> None:
        """Takes the folder with a folder of files for each participant; who has none gets a kit without."""
        self.folder = folder

    def build(self, project: Project, ctx: ProvisionContext) -> None:
        """Copies the files; FLARE calls the folder `startup` the kit."""
        for participant in project.get_all_participants():
            for path in sorted((Path(self.folder) / participant.name).glob("*")):
                place = Path(ctx.get_kit_dir(participant)) / path.name
                if path.suffix == ".key":
                    write_bytes(place, path.read_bytes(), mode=0o600)
                else:
                    write_public(place, path.read_bytes())


class SitePolicyBuilder(Builder):
    """Writes every kit's safe local policy and adapts its start scripts."""

    def __init__(self, allow_classes: list[str] | None = None) -> None:
        self.allow_classes = list(allow_classes or [])

    def finalize(self, project: Project, ctx: ProvisionContext) -> None:
        """Hardens the kits that the other builders wrote."""
        server = project.get_server()
        _bind(Path(ctx.get_kit_dir(server)), server.get_prop(BIND_HOST))
        for participant in project.get_all_participants():
            if not list(Path(ctx.get_kit_dir(participant)).glob("*.crt")):
                continue  # a kit for somebody else's certificate is being made
            kit = open_kit(Path(ctx.get_ws_dir(participant)))
            adapt_start_scripts(kit)
            if kit.kind == "relay":
                _secure_relay(kit.startup)
                write_text(kit.local / "environment", environment(kit.kind))
            elif kit.kind != "person":
                write_local_policy(kit, tuple(self.allow_classes))
                kit.local.chmod(0o700)


def _secure_relay(startup: Path) -> None:
    """Says mutual TLS where FLARE writes "None" for a relay's own connection, which its drivers take for that."""
    path = startup / "fed_relay.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["connect_to"]["connection_security"] = "mtls"
    write_json(path, settings)


def _bind(startup: Path, bind_host: str | None) -> None:
    """Makes the server listen on `bind_host`; the address that sites dial stays the server's `default_host`."""
    if bind_host is None:
        return
    path = startup / "fed_server.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    service = settings["servers"][0]["service"]
    service["target"] = f"{bind_host}:{service['target'].rpartition(':')[2]}"
    write_json(path, settings)
