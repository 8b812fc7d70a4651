"""What a kit needs around it: room on the disk, memory, and a server that answers with the right certificate."""

import shutil
import socket
import ssl
from pathlib import Path

import psutil
from cryptography import x509
from cryptography.x509.oid import NameOID

from fedvoxel.governance.finding import Finding, error, ok, warning
from fedvoxel.governance.kit import Kit, ServerAddress
from fedvoxel.governance.kit_lock import is_running

MIN_FREE_DISK_BYTES = 2 * 2**30
MIN_FREE_MEMORY_BYTES = {"server": 512 * 2**20, "site": 2 * 2**30}
_TIMEOUT_S = 5.0
_NO_SERVER = 26
"""What OpenSSL calls a certificate that is good for another purpose (X509_V_ERR_INVALID_PURPOSE)."""


def check_surroundings(kit: Kit) -> list[Finding]:
    """Checks disk, memory and the way to the server."""
    return [check_disk(kit.folder), check_memory(kit), check_server(kit)]


def check_disk(folder: Path) -> Finding:
    """Checks that the kit's disk has room for jobs and models."""
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_DISK_BYTES:
        return error(
            "disk", f"{_gib(free)} free where the kit lies, expected at least 2 GiB; free space or move the kit"
        )
    return ok("disk", f"{_gib(free)} free")


def check_memory(kit: Kit) -> Finding:
    """Checks that a job can start without the machine running out of memory."""
    free, needed = (
        psutil.virtual_memory().available,
        MIN_FREE_MEMORY_BYTES["server" if kit.kind == "server" else "site"],
    )
    if free < needed:
        return warning(
            "memory", f"{_gib(free)} available, a job may need {_gib(needed)}; close other programs before a job runs"
        )
    return ok("memory", f"{_gib(free)} available")


def check_server(kit: Kit) -> Finding:
    """Checks a server's port, or for others that the server answers and each side accepts the other."""
    where = f"{kit.server.host}:{kit.server.port}"
    if kit.kind == "server":
        if is_running(kit):
            return ok("server", f"it is running, on port {kit.server.port}")
        if port_is_free(kit.server):
            return ok("server", f"port {kit.server.port} is free")
        return error(
            "server", f"port {kit.server.port} is in use by another program; stop it, or agree on another port"
        )
    try:
        with socket.create_connection((kit.server.host, kit.server.port), timeout=_TIMEOUT_S) as connection:
            return _shake_hands(kit, connection, where)
    except socket.gaierror:
        return error(
            "server", f"the name {kit.server.host} is not known here; ask IT for a DNS entry, or add it to /etc/hosts"
        )
    except TimeoutError:
        return error("server", f"{where} does not answer; ask for the firewall to let this machine connect out to it")
    except OSError as problem:
        return error(
            "server", f"{where} refuses the connection ({problem.strerror or problem}); is the server running?"
        )


def port_is_free(address: ServerAddress) -> bool:
    """Says whether a server could listen on its port: on loopback, or on all interfaces when it has another address."""
    host = "127.0.0.1" if address.host == "localhost" or address.host.startswith("127.") else "0.0.0.0"  # noqa: S104
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, address.port))
        except OSError:
            return False
    return True


def _shake_hands(kit: Kit, connection: socket.socket, where: str) -> Finding:
    """Makes a mutual TLS handshake with the kit's own certificate, and looks at whose the other's is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # FLARE checks the server's identity, not its host name
    # In TLS 1.2 the handshake says whether the server accepts the certificate; in TLS 1.3 that comes unheard, after it.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(kit.root_certificate)
        context.load_cert_chain(kit.certificate, kit.private_key)
        with context.wrap_socket(connection, server_hostname=kit.server.host) as secured:
            identity = _common_name(secured)
    except ssl.SSLCertVerificationError as problem:
        whose = (
            "of somebody who is no server"
            if problem.verify_code == _NO_SERVER
            else "that this consortium did not issue"
        )
        said = f"{where} shows a certificate {whose} ({problem.verify_message})"
        return error("server", f"{said}; ask the operator whether the kit belongs to this server")
    except OSError as problem:  # ssl.SSLError and a closed connection are OSErrors
        reason = getattr(problem, "reason", None) or problem
        return error("server", f"{where} refuses this kit's certificate ({reason}); ask the operator for a new kit")
    if kit.server.identity and identity != kit.server.identity:
        said = f"{where} is {identity}, expected {kit.server.identity}"
        return error("server", f"{said}; ask the operator for the right address")
    return ok("server", f"{where} answers, and accepts this kit's certificate")


def _common_name(secured: ssl.SSLSocket) -> str:
    encoded = secured.getpeercert(binary_form=True) or b""
    names = x509.load_der_x509_certificate(encoded).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def _gib(size_bytes: float) -> str:
    return f"{size_bytes / 2**30:.1f} GiB"
