"""FedVoxel's own parts of a server's and a site's parent process, as FLARE's `resources.json` names them."""

import copy
from collections.abc import Sequence
from typing import Any

from fedvoxel.governance.kit import KitKind

Component = dict[str, Any]


def _own(name: str, path: str) -> Component:
    return {"id": name, "path": f"fedvoxel.flare.{path}", "args": {}}


AUDIT_KEEPER = _own("audit_keeper", "audit_keeper.AuditKeeper")
"""Records refused commands and registrations."""

CERTIFICATE_GUARD = _own("certificate_guard", "certificate_guard.CertificateGuard")
"""Keeps revoked certificates out of a server."""

CERTIFICATE_KEEPER = _own("certificate_keeper", "certificate_keeper.CertificateKeeper")
"""Keeps a site's certificate up to date."""

DEPLOYER = _own("app_deployer", "approved_deployer.ApprovedDeployer")
"""Lets in only jobs that a site's people have approved, where its policy asks for that; the id is FLARE's."""

DOORKEEPER = _own("doorkeeper", "doorkeeper.Doorkeeper")
"""Refuses whom FLARE would let in, and has every refusal in the server's audit."""

RESUMPTION = _own("fedvoxel_resumption", "resumption.Resumption")
"""Ends orphaned jobs truthfully, and goes on with interrupted runs."""

RETURNING_SITES = _own("returning_sites", "returning_sites.ReturningSites")
"""Takes sites that were restarted back into their running jobs."""

OWN_COMPONENTS: dict[KitKind, tuple[Component, ...]] = {
    "server": (AUDIT_KEEPER, DOORKEEPER, RETURNING_SITES, CERTIFICATE_GUARD, RESUMPTION),
    "site": (AUDIT_KEEPER, CERTIFICATE_KEEPER, DEPLOYER),
}


def with_own(components: Sequence[Component], kind: KitKind) -> list[Component]:
    """Returns components with FedVoxel's own at their end, each once: a kit may have some of them already."""
    own = OWN_COMPONENTS[kind]
    names = {part["id"] for part in own}
    return [*(part for part in components if part.get("id") not in names), *copy.deepcopy(own)]
