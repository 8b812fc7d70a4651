"""Makes FLARE's start scripts use the right Python, the kit's environment file, a quick heartbeat and an owner's umask.

The scripts call whatever `python3` comes first on the path, which need not be the one that FedVoxel is installed in,
and know no environment file. A script that does not look as expected is refused rather than half changed.
"""

from pathlib import Path

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.local_policy import HEARTBEAT_INTERVAL_S
from fedvoxel.records.atomic import write_text

_PYTHON = '"${FEDVOXEL_PYTHON:-python3}"'
_WORKSPACE_LINE = 'echo "WORKSPACE set to $WORKSPACE"\n'
_READ_ENVIRONMENT = (
    "# FedVoxel: settings that FLARE takes from the environment only.\n"
    'if [[ -f "$WORKSPACE/local/environment" ]]; then set -a; . "$WORKSPACE/local/environment"; set +a; fi\n'
)
_OWNER_ONLY = "# FedVoxel: what a kit's processes write is its owner's alone.\numask 077\n"
_SITE_HEARTBEAT = f"secure_train=true heart_beat_interval={HEARTBEAT_INTERVAL_S} "


def adapt_start_scripts(kit: Kit) -> None:
    """Adapts the kit's start script in place; safe to repeat.

    Raises:
        ConsortiumError: The script is missing or not FLARE 2.9's.
    """
    if kit.kind == "person":
        _rewrite(kit.startup / "fl_admin.sh", [("\npython3 -m nvflare", f"\n{_PYTHON} -m nvflare")])
        return
    changes = [("exec python3 -u", f"exec {_PYTHON} -u"), (_WORKSPACE_LINE, _WORKSPACE_LINE + _READ_ENVIRONMENT)]
    changes.append((_WORKSPACE_LINE, _OWNER_ONLY + _WORKSPACE_LINE))
    if kit.kind == "site":
        changes.append(("secure_train=true ", _SITE_HEARTBEAT))
    _rewrite(kit.startup / "sub_start.sh", changes)


def _rewrite(script: Path, changes: list[tuple[str, str]]) -> None:
    if not script.is_file():
        raise ConsortiumError(f"startup/{script.name} is missing; ask the consortium's operator for a new kit")
    text = script.read_text(encoding="utf-8")
    for old, new in changes:
        if new in text:
            continue
        if old not in text:
            raise ConsortiumError(f"startup/{script.name} is not the one of FLARE 2.9: expected {old.strip()!r} in it")
        text = text.replace(old, new, 1)
    write_text(script, text, mode=0o755)
