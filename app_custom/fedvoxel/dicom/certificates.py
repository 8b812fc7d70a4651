"""Certificates, keys and passwords that a site's file names, opened with the care that they need."""

import ssl
import stat
from pathlib import Path

from fedvoxel.dicom.pacs_config import TlsFiles
from fedvoxel.errors import ConfigError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MAX_SECRET_BYTES = 1024


def read_secret(base: Path, name: str) -> str:
    """Returns the password that a file holds, without the end of its line.

    Raises:
        ConfigError: The file is missing, empty, too long, or others than its owner may read or write it.
    """
    path = private_file(base, name, "password_file")
    text = path.read_bytes()[: _MAX_SECRET_BYTES + 1].decode("utf-8", "replace").rstrip("\r\n")
    if not text or len(text) > _MAX_SECRET_BYTES or not text.isprintable():
        raise ConfigError(f"password_file: expected one line of text of at most {_MAX_SECRET_BYTES} bytes")
    return text


def private_file(base: Path, name: str, key: str) -> Path:
    """Returns the file that the setting `key` names, having checked that it is its owner's alone.

    Raises:
        ConfigError: It is missing, or others may read or write it.
    """
    path = existing_file(base, name, key)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        raise ConfigError(f"{key}: expected a file that only its owner may read (chmod 600), found mode {mode:04o}")
    return path


def existing_file(base: Path, name: str, key: str) -> Path:
    """Returns the file that the setting `key` names, counted from the folder `base`.

    Raises:
        ConfigError: There is no such file.
    """
    path = base / name
    if not path.is_file():
        raise ConfigError(f"{key}: expected a file, found none of that name; paths count from the site's own file")
    return path


def client_context(files: TlsFiles, base: Path) -> ssl.SSLContext:
    """Returns the context for calling a PACS: TLS 1.2 or newer, its certificate and name are checked.

    Raises:
        ConfigError: A file is missing or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, files, base)
    return context


def server_context(files: TlsFiles, base: Path, timeout_s: float) -> ssl.SSLContext:
    """Returns the context for being called by a PACS, which must show a certificate of the same authority.

    Raises:
        ConfigError: A file is missing or is not what it should be.
    """
    context = _PatientContext(ssl.PROTOCOL_TLS_SERVER)
    context.timeout_s = timeout_s
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    _load(context, files, base)
    return context


class _PatientContext(ssl.SSLContext):
    """Leaves the handshake to the thread of its own association: one caller that stalls does not keep others out."""

    timeout_s: float = 30

    def wrap_socket(self, sock, *_args, **_kwargs):  # type: ignore[no-untyped-def]
        sock.settimeout(self.timeout_s)
        return super().wrap_socket(sock, server_side=True, do_handshake_on_connect=False)


def _load(context: ssl.SSLContext, files: TlsFiles, base: Path) -> None:
    try:
        context.load_verify_locations(existing_file(base, files.ca, "tls.ca"))
    except (ssl.SSLError, OSError):
        raise ConfigError("tls.ca: expected certificates in PEM form") from None
    if files.certificate is None or files.key is None:
        return
    certificate = existing_file(base, files.certificate, "tls.certificate")
    key = private_file(base, files.key, "tls.key")
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError):
        raise ConfigError(
            "tls.certificate and tls.key: expected a PEM certificate and its key without a password"
        ) from None


def _no_password() -> str:
    raise ValueError("the key has a password")
