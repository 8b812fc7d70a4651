"""Where a model server listens: on this machine alone, unless somebody asks for more and is told what that means."""

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fedvoxel.errors import ConfigError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Place:
    """Is an address and two ports; port 0 takes a free one.

    Attributes:
        address: An address of this machine in numbers, IPv4 or IPv6.
        http_port: For REST.
        grpc_port: For gRPC.
    """

    address: str = LOOPBACK
    http_port: int = 8080
    grpc_port: int = 8081

    def __post_init__(self) -> None:
        """Refuses what is no address in numbers: which one a name stands for can change."""
        try:
            ipaddress.ip_address(self.address)
        except ValueError:
            raise ConfigError("expected --bind as an address in numbers, such as 127.0.0.1, got another text") from None
        if self.http_port == self.grpc_port != 0:
            raise ConfigError(f"expected two ports for REST and gRPC, got {self.http_port} twice")

    @property
    def warning(self) -> str | None:
        """Returns what it means to listen there; None on loopback."""
        if ipaddress.ip_address(self.address).is_loopback:
            return None
        return (
            f"whoever reaches {self.address} can use the model, and images travel unencrypted and without a sign-in: "
            "listen there only inside a pod or behind a proxy that encrypts and lets in whom the hospital knows"
        )

    def at(self, port: int) -> str:
        """Returns the address with a port, as addresses in URLs are written."""
        host = f"[{self.address}]" if ipaddress.ip_address(self.address).version == 6 else self.address
        return f"{host}:{port}"


@contextmanager
def listening(place: Place) -> Iterator[socket.socket]:
    """Yields a socket that listens for REST.

    Raises:
        ConfigError: The address or a port cannot be used.
    """
    with _bound(place, place.grpc_port, "--grpc-port"):
        pass  # it is free; gRPC opens it by itself
    with _bound(place, place.http_port, "--http-port") as listener:
        listener.listen()
        yield listener


@contextmanager
def _bound(place: Place, port: int, option: str) -> Iterator[socket.socket]:
    is_six = ipaddress.ip_address(place.address).version == 6
    # That it is TCP is said: asyncio sets TCP_NODELAY only then, and without it most answers come 40 ms late.
    with socket.socket(socket.AF_INET6 if is_six else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((place.address, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} of {place.address} cannot be used ({error.strerror}): name another with {option}, or "
                "another address with --bind"
            ) from None
        yield made
