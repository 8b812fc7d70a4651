"""The safe local policy that every kit gets: what a site or server allows, whatever a job asks for.

FLARE reads `local/resources.json`, `authorization.json` and falls back to the same names with `.default`. The
defaults that FLARE ships allow code in jobs, stream error logs to the server, keep jobs in a shared temporary folder
and notice a lost site after ten minutes. This module rewrites those defaults, so that a kit is safe before anyone
touches it; files without `.default` are the owner's own and are never changed. It never loosens a policy and never
reads one out of a job.
"""

import copy
import secrets
from typing import Any

from fedvoxel.config import read_json
from fedvoxel.errors import ConsortiumError
from fedvoxel.federation.line import RESENT_AFTER_S
from fedvoxel.governance.approval_policy import APPROVAL_FILE, ApprovalPolicy, write_approval_policy
from fedvoxel.governance.job_filters import WRAPPED
from fedvoxel.governance.kit import Kit, KitKind
from fedvoxel.governance.own_components import with_own
from fedvoxel.privacy.policy import PRIVACY_FILE, PrivacyPolicy, write_privacy_policy
from fedvoxel.records.atomic import write_json, write_text

JOB_CLASSES = (
    "fedvoxel.flare.calibration.CalibrationController",
    "fedvoxel.flare.calibration_site.CalibrationExecutor",
    "fedvoxel.flare.controller.FedAvgController",
    "fedvoxel.flare.cross_site.CrossSiteController",
    "fedvoxel.flare.drift_watch.DriftWatchController",
    "fedvoxel.flare.drift_watch_site.DriftWatchExecutor",
    "fedvoxel.flare.executor.SiteExecutor",
    "fedvoxel.flare.job_check.JobCheckController",
    "fedvoxel.flare.reader_study.ReaderStudyController",
    "fedvoxel.flare.reader_study_site.ReaderStudyExecutor",
    "fedvoxel.flare.statistics.StatisticsController",
    "fedvoxel.flare.statistics.StatisticsExecutor",
)
"""What a job may build: these classes of the installed package, one by one.

A prefix such as "fedvoxel.flare." would let a job call everything that those modules import, with arguments of its
choice.
"""

OPTIONAL_CLASSES = tuple(WRAPPED)
"""What a job may build as well; a site that wants none of it writes a class list of its own without."""

PRIVACY_SCOPE = "fedvoxel"
"""The one privacy scope; a job that asks for another is refused."""

OUTBOUND_FILTER: dict[str, Any] = {"path": "fedvoxel.flare.outbound.OutboundFilter", "args": {}}
"""The last of a site's result filters, as FLARE reads it: only what it admits leaves the site."""

HEARTBEAT_TIMEOUT_S = 15
HEARTBEAT_INTERVAL_S = 3
"""A site is given up after five missed heartbeats (FLARE: one heartbeat in 10 s, given up after 600 s)."""

ANSWER_TIMEOUT_S = 60.0
"""A site asks again for what was lost on its line after so long without a byte (FLARE: 300 s); a long answer may take
any time, as long as some of it arrives."""

_OWN_LAUNCHER = {
    "nvflare.app_common.job_launcher.client_process_launcher.ClientProcessJobLauncher": (
        "fedvoxel.flare.restarted_job.RestartingJobLauncher"
    )
}
"""FLARE's launcher of a site's jobs, and ours in its place; one for containers, which a site has chosen, stays."""

_LOG_STREAMING_IDS = frozenset({"site_log_streamer", "log_receiver"})
_RIGHTS = (
    "submit_job", "clone_job", "manage_job", "download_job", "view", "operate",
    "shell_commands", "byoc", "server-predeployed-flwr",
)  # fmt: skip
_GRANTED: dict[str, dict[str, str]] = {
    "project_admin": {"manage_job": "any", "view": "any"},
    "org_admin": {"manage_job": "o:submitter", "view": "any", "operate": "o:site"},
    "lead": {
        "submit_job": "any",
        "clone_job": "n:submitter",
        "manage_job": "n:submitter",
        "download_job": "n:submitter",
        "view": "any",
    },
    "member": {"view": "any"},
}
_ENVIRONMENT = {
    # FLARE takes a buffer of this many bytes for every message, however small, and lets it go only when Python looks
    # for cycles of garbage: at its own 1 MB, sites that ask for tasks fill the server's memory.
    "NVFLARE_STREAMING_CHUNK_SIZE": "65536",
    # Bytes on their way unacknowledged; FLARE warns of more than 1024 buffers, with every message.
    "NVFLARE_STREAMING_WINDOW_SIZE": "16777216",
    # FLARE sends again what nobody has acknowledged for so many seconds: at its own 5 s, all that is on a line on which
    # a piece takes longer, again and again, so that a thin line carries everything twice or more.
    "NVFLARE_STREAMING_RETRY_WAIT": f"{RESENT_AFTER_S:.0f}",
}
_SERVER_ENVIRONMENT = _ENVIRONMENT | {
    "NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT": "15",
    "NVFLARE_DEAD_CLIENT_GRACE_PERIOD": "10",
    "NVFLARE_DEAD_CLIENT_CHECK_LEAD_TIME": "10",
    # Has glibc give the memory of every array back at once, so that many sites' arrays do not add up.
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}


def authorization(kind: KitKind) -> dict[str, Any]:
    """Returns who may do what here: every right of every role, in words; what is not granted is `none`.

    The operator (project_admin) operates the server; nobody outside a hospital operates its site. Nobody brings code,
    and nobody reads files through the console.
    """
    operator = {"operate": "any" if kind == "server" else "o:site"}
    granted = {**_GRANTED, "project_admin": {**_GRANTED["project_admin"], **operator}}
    return {
        "format_version": "1.0",
        "permissions": {
            role: {right: rights.get(right, "none") for right in _RIGHTS} for role, rights in granted.items()
        },
    }


def privacy(kind: KitKind) -> dict[str, Any]:
    """Returns the one privacy scope; at a site, its filters run before anything leaves, in every job."""
    outbound = [OUTBOUND_FILTER] if kind == "site" else []
    scope = {"name": PRIVACY_SCOPE, "properties": {}, "task_data_filters": [], "task_result_filters": outbound}
    return {"scopes": [scope], "default_scope": PRIVACY_SCOPE}


def resources(shipped: dict[str, Any], kind: KitKind, extra_classes: tuple[str, ...] = ()) -> dict[str, Any]:
    """Returns FLARE's own resources with everything that lets code in or data out switched off.

    Args:
        shipped: The content of the `resources.json.default` that FLARE wrote.
        kind: Server or site.
        extra_classes: Further class paths, or package prefixes ending with a dot, that jobs may use.
    """
    hardened = copy.deepcopy(shipped)
    hardened["class_list_enforcement_mode"] = "enforce"
    hardened["class_allow_list"] = list(dict.fromkeys((*JOB_CLASSES, *OPTIONAL_CLASSES, *extra_classes)))
    hardened["allow_log_streaming"] = False
    kept = [part for part in hardened["components"] if part.get("id") not in _LOG_STREAMING_IDS]
    hardened["components"] = with_own(kept, kind)
    for part in hardened["components"]:
        if part.get("path") in _OWN_LAUNCHER:
            part["path"] = _OWN_LAUNCHER[part["path"]]
    if kind == "site":
        hardened.setdefault("client", {})["communication_timeout"] = ANSWER_TIMEOUT_S
    else:
        _keep_jobs_in_kit(hardened)
    return hardened


def environment(kind: KitKind) -> str:
    """Returns `local/environment`: settings that FLARE reads from the environment only, as KEY=VALUE lines."""
    header = "# Read when this kit is started. FLARE takes these settings from the environment only.\n"
    settings = _SERVER_ENVIRONMENT if kind == "server" else _ENVIRONMENT
    return header + "".join(f"{key}={value}\n" for key, value in settings.items())


def write_local_policy(kit: Kit, extra_classes: tuple[str, ...] = ()) -> list[str]:
    """Writes the safe local policy into a server's or site's kit and returns the names of the files it wrote.

    Safe to repeat: the owner's own files (without `.default`), the site's description, an existing privacy scope and
    an existing privacy policy stay.

    Raises:
        ConsortiumError: The kit is a person's, or FLARE's own resources are missing from it.
    """
    if kit.kind in ("person", "relay"):
        raise ConsortiumError(f"kit {kit.name} is a {kit.kind}'s: it has no local policy to write")
    local = kit.local
    shipped = _shipped_resources(kit)
    write_json(local / "resources.json.default", resources(shipped, kit.kind, extra_classes))
    write_json(local / "authorization.json.default", authorization(kit.kind))
    write_text(local / "environment", environment(kit.kind))
    written = ["resources.json.default", "authorization.json.default", "environment"]
    (local / "privacy.json.sample").unlink(missing_ok=True)  # FLARE's sample names classes that do not exist
    if not (local / "privacy.json").exists():
        write_json(local / "privacy.json", privacy(kit.kind))
        written.append("privacy.json")
    if kit.kind == "site":
        written += _write_own_files(kit)
    kit.state.mkdir(mode=0o700, exist_ok=True)
    return written


def site_description(kit: Kit) -> dict[str, Any]:
    """Returns a new site's description: a fresh pseudonym key, no cohort yet, and where the server is."""
    return {
        "schema_version": 1,
        "pseudonym_key": secrets.token_hex(32),
        "cohorts": {},
        "compute": {"threads": 0, "device": "auto"},
        "server_address": {"host": kit.server.host, "port": kit.server.port},
    }


def _write_own_files(kit: Kit) -> list[str]:
    """Writes what a hospital goes on from, where it is missing: its description, and a policy that grants nothing."""
    written = []
    if not (kit.local / "fedvoxel_site.json").exists():
        write_json(kit.local / "fedvoxel_site.json", site_description(kit), mode=0o600)
        written.append("fedvoxel_site.json")
    if not (kit.local / PRIVACY_FILE).exists():
        write_privacy_policy(kit.local, PrivacyPolicy(schema_version=1))
        written.append(PRIVACY_FILE)
    if not (kit.local / APPROVAL_FILE).exists():
        write_approval_policy(kit.local, ApprovalPolicy())
        written.append(APPROVAL_FILE)
    return written


def _shipped_resources(kit: Kit) -> dict[str, Any]:
    path = kit.local / "resources.json.default"
    if not path.is_file():
        raise ConsortiumError(
            f"kit {kit.name}: local/{path.name} is missing; ask the consortium's operator for a new kit"
        )
    shipped = read_json(path, f"the resources of kit {kit.name}")
    if not isinstance(shipped, dict) or not isinstance(shipped.get("components"), list):
        raise ConsortiumError(f"kit {kit.name}: local/{path.name} lists no components; ask for a new kit")
    return shipped


def _keep_jobs_in_kit(hardened: dict[str, Any]) -> None:
    """Moves jobs and snapshots from a shared temporary folder into the kit, by relative path: a kit can move."""
    storage = {"path": "fedvoxel.flare.kit_storage.KitStorage"}
    hardened["snapshot_persistor"]["args"]["storage"] = {**storage, "args": {"folder": "state/snapshots"}}
    for part in hardened["components"]:
        if part["id"] == "job_manager":
            part["args"]["uri_root"] = "state/jobs"
        if part["id"] == "job_store":
            part.update(storage)
    for server in hardened["servers"]:
        server["heart_beat_timeout"] = HEARTBEAT_TIMEOUT_S
