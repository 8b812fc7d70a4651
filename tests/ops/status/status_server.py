"""The status page's server over a real connection, and clients with certificates of the consortium."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from fedvoxel.governance.kit import Kit
from fedvoxel.ops.status.serving import listening, status_server

Pair = tuple[Path, Path]
"""Files of a certificate and its key."""


@contextmanager
def served(kit: Kit) -> Iterator[str]:
    """Serves a kit on a free port, and yields the page's address."""
    server = status_server(kit)
    with listening("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"https://localhost:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def pair_of(startup: Path) -> Pair:
    """Returns a person's or a site's certificate and key."""
    return startup / "client.crt", startup / "client.key"


def client_with(pair: Pair | None, root: Path, address: str) -> httpx.Client:
    """Returns a client that shows a certificate, or none, and trusts the consortium's root alone."""
    context = ssl.create_default_context(cafile=str(root))
    if pair is not None:
        context.load_cert_chain(*pair)
    return httpx.Client(verify=context, base_url=address, timeout=30.0)
