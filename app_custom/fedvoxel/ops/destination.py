"""Where something may be sent: an address at which a secret that goes with it is safe."""

import os
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from fedvoxel.errors import ConfigError


def check_destination(url: str, whose: str, secrets: Sequence[str], instead: str) -> None:
    """Checks an address before anything is sent there.

    Args:
        url: The address.
        whose: Who listens there, as in "MLflow".
        secrets: Variables of the environment of which whoever sends puts a login or token into the request.
        instead: What to set in place of a login in the address.

    Raises:
        ConfigError: It is no HTTP address, holds a login itself, or is a remote one without TLS to which a login would
            be sent.
    """
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"{whose}'s address holds a login; take it out, and set {instead}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"expected {whose}'s address as https://HOST[:PORT], or http:// on this machine")
    if parts.scheme == "http" and not _is_here(parts.hostname) and any(os.environ.get(name) for name in secrets):
        raise ConfigError(f"a login would go to {whose} in the clear; use https://")


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
