"""Small consortia for tests: two hospitals on a port that nobody uses."""

import socket
from pathlib import Path

from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.governance.consortium import Consortium

PASSPHRASE = "correct horse battery"
SERVER = "server.consortium.example"
FILE = """\
api_version: 3
name: small
participants:
  - {{name: server.consortium.example, type: server, org: consortium, fed_learn_port: {port}, default_host: localhost,
     bind_host: 127.0.0.1}}
  - {{name: hospital-a, type: client, org: hospital_a}}
  - {{name: hospital-b, type: client, org: hospital_b}}
  - {{name: admin@consortium.example, type: admin, org: consortium, role: project_admin}}
  - {{name: scientist@consortium.example, type: admin, org: consortium, role: lead}}
builders:
  - path: nvflare.lighter.impl.workspace.WorkspaceBuilder
  - path: fedvoxel.flare.builders.SitePolicyBuilder
  - path: nvflare.lighter.impl.static_file.StaticFileBuilder
    args: {{config_folder: config, scheme: http}}
  - path: fedvoxel.flare.builders.CertificateBuilder
"""


def free_port() -> int:
    """Returns a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def consortium_file(folder: Path, port: int | None = None) -> Path:
    """Writes a consortium file into `folder` and returns it."""
    path = folder / "consortium.yml"
    path.write_text(FILE.format(port=port or free_port()), encoding="utf-8")
    return path


def small_consortium(folder: Path) -> Consortium:
    """Makes the kits of a small consortium in `folder`/workspace."""
    return create_consortium(consortium_file(folder), folder / "workspace", passphrase=PASSPHRASE)


def relayed_consortium(folder: Path, ports: tuple[int, int] | None = None, allow: str = "") -> Consortium:
    """Makes the kits of a small consortium whose sites connect through a relay.

    Args:
        folder: Where the file and the workspace go.
        ports: The server's and the relay's.
        allow: A class that jobs may use besides the package's own.
    """
    server, relay = ports or (free_port(), free_port())
    text = FILE.format(port=server)
    line = "  - {name: relay-1, type: relay, org: consortium, listening_host: {default_host: localhost, port: PORT}}\n"
    text = text.replace("  - {name: hospital-a", line.replace("PORT", str(relay)) + "  - {name: hospital-a")
    for site in ("hospital_a", "hospital_b"):
        text = text.replace(f"org: {site}}}", f"org: {site}, connect_to: {{name: relay-1}}}}")
    if allow:
        text = text.replace("SitePolicyBuilder\n", f"SitePolicyBuilder\n    args: {{allow_classes: [{allow}]}}\n")
    (folder / "consortium.yml").write_text(text, encoding="utf-8")
    return create_consortium(folder / "consortium.yml", folder / "workspace", passphrase=PASSPHRASE)
