"""Small consortia for tests: two hospitals on a port that nobody uses."""

import socket
from pathlib import Path

from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.governance.consortium import Consortium

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
  - path: nvflare.lighter.impl.cert.CertBuilder
  - path: nvflare.lighter.impl.signature.SignatureBuilder
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
    return create_consortium(consortium_file(folder), folder / "workspace")
