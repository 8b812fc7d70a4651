"""Whether a relay's connections, and those to it, are mutual TLS: FLARE takes any value, and by itself none."""

from typing import Any

from fedvoxel.config import read_json
from fedvoxel.errors import ConfigError
from fedvoxel.governance.finding import Finding, error, ok
from fedvoxel.governance.kit import RELAY_FILE, Kit

TOPIC = "relay"
_SECURE = "mtls"


def check_relay(kit: Kit) -> list[Finding]:
    """Checks a relay's kit, or a site's that connects to one; nothing where no relay is used."""
    if kit.kind == "relay":
        places = [("startup/fed_relay.json", ("connect_to",)), ("local/comm_config.json", ("internal", "resources"))]
    elif kit.kind == "site" and (kit.local / RELAY_FILE).is_file():
        places = [(f"local/{RELAY_FILE}", ("relay_config",))]
    else:
        return []
    found = {name: _said(kit, name, keys) for name, keys in places}
    wrong = [name for name, said in found.items() if said != _SECURE]
    if wrong:
        advice = "ask the operator for a new kit"
        return [
            error(TOPIC, f"{name} does not ask for mutual TLS, but for {found[name]!r}; {advice}") for name in wrong
        ]
    return [ok(TOPIC, "mutual TLS on every connection; whoever runs a relay can read what passes through it")]


def _said(kit: Kit, name: str, keys: tuple[str, ...]) -> Any:
    try:
        values = read_json(kit.folder / name, name)
        for key in keys:
            values = values[key]
        return values["connection_security"]
    except (ConfigError, KeyError, TypeError):
        return None
