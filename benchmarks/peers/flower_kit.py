"""Makes what Flower needs: an environment of its own with pinned packages, certificates, and a key per hospital."""

import datetime
import ipaddress
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.peers.lines import SERVER
from fedvoxel.errors import JobError
from fedvoxel.records.atomic import write_bytes, write_text
from fedvoxel.records.canonical import sha256_of_file

PINS = Path(__file__).with_name("constraints-flower.txt")
# torch's version keeps the build without GPU that the main environment has.
PACKAGES = (
    "flwr[simulation]",
    "torch==2.13.0",
    "monai",
    "nibabel",
    "psutil",
    "pydantic",
    "pyyaml",
    "randomgen",
    "scipy",
)
SWITCHES = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Nothing is sent to anybody, and nothing is installed while it runs."""


def flower_python(folder: Path) -> Path:
    """Returns the interpreter of Flower's environment in `folder`; installs it first where that is missing.

    Raises:
        JobError: The packages could not be installed.
    """
    python, stamp = folder / "bin" / "python", folder / "installed"
    if not stamp.is_file() or stamp.read_text() != sha256_of_file(PINS):
        made = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True, check=False)
        install = [str(python), "-m", "pip", "install", "--quiet", "-c", str(PINS), *PACKAGES]
        done = made if made.returncode else subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            raise JobError(f"Flower's environment could not be made: {lines[-1][:200]}")
        write_text(stamp, sha256_of_file(PINS))
    return python


def make_keys(folder: Path, sites: Sequence[str]) -> None:
    """Makes a certificate authority, the server's certificate for its address, and a key pair for each site."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(SERVER))])
    signer = x509.BasicConstraints(ca=True, path_length=None)
    _write_certificate(
        folder / "ca.pem", _builder("benchmark authority", authority).add_extension(signer, True), authority
    )
    _write_certificate(folder / "server.pem", _builder("server", server).add_extension(address, False), authority)
    _write_key(folder / "server.key", server)
    for site in sites:
        key = ec.generate_private_key(ec.SECP384R1())
        _write_key(folder / f"{site}.key", key, serialization.PrivateFormat.OpenSSH)
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        write_bytes(folder / f"{site}.pub", public)


def _builder(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark authority")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365))
    )


def _write_certificate(path: Path, builder: x509.CertificateBuilder, authority: ec.EllipticCurvePrivateKey) -> None:
    write_bytes(path, builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def _write_key(
    path: Path,
    key: ec.EllipticCurvePrivateKey,
    kind: serialization.PrivateFormat = serialization.PrivateFormat.TraditionalOpenSSL,
) -> None:
    content = key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
    write_bytes(path, content, mode=0o600)
