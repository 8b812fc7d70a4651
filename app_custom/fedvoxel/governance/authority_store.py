"""The certificate authority on disk: its roots, and their keys under a passphrase, here or on a medium elsewhere."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeGuard

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance import certificate_form as form
from fedvoxel.governance.authority import Authority, Root
from fedvoxel.records.atomic import write_bytes, write_public
from fedvoxel.records.identity import load_roots

ROOT_FILE, KEY_FILE = "rootCA.pem", "rootCA.key"
PASSPHRASE_VARIABLE = "FEDVOXEL_CA_PASSPHRASE"  # noqa: S105 - where it is, not what it is
"""The environment variable that may hold the passphrase of the authority's key."""

FEWEST_PASSPHRASE_CHARACTERS = 12
_ROOT_BITS = 3072
_BEGIN_KEY = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


def create_authority(
    folder: Path, key_folder: Path, name: str, days: tuple[int, int], passphrase: str | None
) -> Authority:
    """Makes an authority.

    Args:
        folder: Where its root certificate, register and list go; must not hold one already.
        key_folder: Where its encrypted key goes: the same folder, or a medium that is taken away.
        name: The consortium's name.
        days: How long the root and its first list are valid.
        passphrase: Encrypts the key. Where None, the key is not kept at all: nobody can be added or revoked later.

    Raises:
        ConsortiumError: There is one already, or the passphrase is too short.
    """
    if (folder / ROOT_FILE).exists() or (key_folder / KEY_FILE).exists():
        raise ConsortiumError(f"{folder} holds a certificate authority already; another one needs another folder")
    if passphrase is not None:
        _check_passphrase(passphrase)
    made = Authority(folder, (make_root(name, days[0]),))
    save_authority(made, key_folder, passphrase)
    made.sign_list(days[1])
    return made


def make_root(name: str, days: int) -> Root:
    """Makes a root of a name."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=_ROOT_BITS)
    now, subject = datetime.now(UTC), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = form.builder(subject, subject, key.public_key(), key, now, now + timedelta(days=days))
    return Root(form.as_authority(builder).sign(key, hashes.SHA256()), key)


def save_authority(authority: Authority, key_folder: Path, passphrase: str | None) -> None:
    """Writes down the roots, and their keys under a passphrase.

    The keys are on the disk before the roots: what is interrupted in between goes on with the roots as they were. Where
    a root is dropped it has to be the other way round, since a root without its key opens no more.
    """
    if passphrase is not None:
        save_keys(authority, key_folder, passphrase)
    save_roots(authority)


def save_keys(authority: Authority, key_folder: Path, passphrase: str) -> None:
    """Writes down the roots' keys under a passphrase."""
    encryption = serialization.BestAvailableEncryption(passphrase.encode("utf-8"))
    form_of_key = serialization.PrivateFormat.PKCS8
    keys = [root.key.private_bytes(serialization.Encoding.PEM, form_of_key, encryption) for root in authority.roots]
    key_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_bytes(key_folder / KEY_FILE, b"".join(keys), mode=0o600)


def save_roots(authority: Authority) -> None:
    """Writes down the roots."""
    authority.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificates = [root.certificate.public_bytes(serialization.Encoding.PEM) for root in authority.roots]
    write_public(authority.folder / ROOT_FILE, b"".join(certificates))


def open_authority(folder: Path, key_folder: Path, passphrase: str | None) -> Authority:
    """Opens an authority.

    Raises:
        ConsortiumError: There is none, its key is elsewhere or was not kept, or the passphrase is not its.
    """
    certificates = read_roots(folder)
    path = key_folder / KEY_FILE
    if not path.is_file():
        raise ConsortiumError(
            f"the authority's key is not in {key_folder}: bring the medium that holds it and name its folder with "
            "--ca; an authority that was made without a passphrase kept none, and can only be made anew"
        )
    secret = (passphrase or "").encode("utf-8") or None
    try:
        parts = path.read_bytes().split(_BEGIN_KEY)[1:]
        keys = [serialization.load_pem_private_key(_BEGIN_KEY + part, secret) for part in parts]
    except (OSError, ValueError, TypeError):
        raise ConsortiumError("the passphrase does not open the authority's key") from None
    roots = [Root(one, key) for one in certificates for key in keys if _belongs(key, one)]
    if len(roots) != len(certificates):
        raise ConsortiumError(f"the key in {key_folder} is another authority's than the root in {folder}")
    return Authority(folder, tuple(roots))


def read_roots(folder: Path) -> tuple[x509.Certificate, ...]:
    """Reads the roots of the authority in `folder`; the last one issues.

    Raises:
        ConsortiumError: There is none.
    """
    try:
        return load_roots(folder / ROOT_FILE)
    except ConsortiumError:
        raise ConsortiumError(
            f"{folder} holds no certificate authority; make one with: fedvoxel consortium init"
        ) from None


def _belongs(key: object, certificate: x509.Certificate) -> TypeGuard[rsa.RSAPrivateKey]:
    return isinstance(key, rsa.RSAPrivateKey) and key.public_key() == certificate.public_key()


def _check_passphrase(passphrase: str) -> None:
    if len(passphrase) < FEWEST_PASSPHRASE_CHARACTERS:
        raise ConsortiumError(
            f"the authority's passphrase has {len(passphrase)} characters; expected at least "
            f"{FEWEST_PASSPHRASE_CHARACTERS}, since whoever copies the encrypted key may try as often as they like"
        )
