"""Under which address the page may be asked for: its own on loopback, or the one that the hospital's proxy publishes.

What a proxy says in `Forwarded` or `X-Forwarded-…` is never read: only the Host of the request itself counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class PageAddress:
    """Is where readers' browsers find the page.

    Attributes:
        origins: Each Host that is answered, with the origin that pages under it have.
        cookie: What the session's cookie is called.
        secure: Whether browsers must send cookies over TLS only.
    """

    origins: Mapping[str, str]
    cookie: str
    secure: bool = False


def on_loopback(port: int) -> PageAddress:
    """Returns the address of a server that only this machine's browsers ask."""
    hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
    return PageAddress({host: f"http://{host}" for host in hosts}, f"fedvoxel-review-{port}")


def published_at(public_url: str) -> PageAddress:
    """Returns the address under which a proxy publishes the page, and no other.

    Args:
        public_url: Scheme, host and port, such as https://review.hospital.example.
    """
    parts = urlsplit(public_url)
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    # Browsers leave a scheme's own port out of Host and Origin.
    host = host if port == _DEFAULT_PORTS[parts.scheme] else f"{host}:{port}"
    secure = parts.scheme == "https"
    # The prefix makes browsers refuse such a cookie from a neighbour in the hospital's domain.
    cookie = f"{'__Host-' if secure else ''}fedvoxel-review-{port}"
    return PageAddress({host: f"{parts.scheme}://{host}"}, cookie, secure)
