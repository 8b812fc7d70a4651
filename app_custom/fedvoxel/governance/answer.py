"""The answer to a request: a kit without its private key, packed into one file, and how it is unpacked with the key.

What comes out of the file is checked before anything of it is used: it is of the consortium whose root was told by
telephone, and its certificate is for the key that never left.
"""

import shutil
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fedvoxel.errors import ConsortiumError, PackageError
from fedvoxel.export.archive import archive_bytes, open_archive
from fedvoxel.governance.certificate_request import certificate_fingerprint
from fedvoxel.governance.kit import Kit, open_kit
from fedvoxel.governance.rotation import check_vouched
from fedvoxel.governance.watched_list import good_lists
from fedvoxel.plain_file import read_plain
from fedvoxel.records.atomic import write_bytes, write_public
from fedvoxel.records.identity import CROSS_FILE, UNREADABLE, leads_to, load_roots
from fedvoxel.records.pem import certificate_in, certificates_in
from fedvoxel.records.revocation import LIST_FILE

_MOST_MEMBERS, _LARGEST_BYTES = 100, 4 * 1024**2
_FOLDERS, _STATE = ("startup", "local"), "state"
_LONGEST_PART = 100


def pack_answer(kit: Path, path: Path) -> None:
    """Packs a kit that has no private key.

    Raises:
        ConsortiumError: It has one: that must not travel.
    """
    files = sorted(file for file in kit.rglob("*") if file.is_file())
    members = {file.relative_to(kit).as_posix(): file.read_bytes() for file in files}
    if any(b"PRIVATE KEY" in content for content in members.values()):
        raise ConsortiumError(f"the kit of {kit.name} holds a private key; a kit that travels holds none")
    write_bytes(path, archive_bytes(members), mode=0o600)


def install_answer(path: Path, key: Path, fingerprint: str, folder: Path) -> Kit:
    """Makes a kit from an answer and the private key that never left.

    Args:
        path: The answer.
        key: The private key that the request was made with.
        fingerprint: The root's SHA-256 fingerprint, as the operator told it.
        folder: Where the kit goes; must not be there yet.

    Raises:
        ConsortiumError: The answer is damaged, of another root, or for another key; nothing is left behind then.
    """
    if folder.exists():
        raise ConsortiumError(f"{folder} exists; name a new folder, or move the old kit away")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".installing-") as scratch:
        inside = Path(scratch) / "kit"
        _unpack(path, inside)
        kit = open_kit(inside)
        _check_root(kit, fingerprint)
        write_bytes(kit.private_key, _key_for(kit, key), mode=0o600)
        kit.local.chmod(0o700)
        (inside / _STATE).mkdir(mode=0o700)
        shutil.move(inside, folder)
    return open_kit(folder)


def _unpack(path: Path, target: Path) -> None:
    try:
        with open_archive(path, _MOST_MEMBERS, _LARGEST_BYTES) as archive:
            for name in archive.names:
                if not _is_in_a_kit(name):
                    raise ConsortiumError(f"{path.name} holds {name[:80]!a}, which no kit has")
                content = archive.read(name, _LARGEST_BYTES)
                if name.endswith((".crt", ".pem")):  # others check signatures with them
                    write_public(target / name, content)
                else:
                    write_bytes(target / name, content, 0o755 if name.endswith(".sh") else 0o600)
    except PackageError as error:
        raise ConsortiumError(f"{path.name} is not an answer of the operator's ({error})") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConsortiumError(f"{path.name} cannot be unpacked beside the kit's folder ({reason})") from None


def _is_in_a_kit(name: str) -> bool:
    """Says whether a name is that of a file in a kit or in one of its folders, and could be nothing else."""
    parts = name.split("/")
    plain = name.isprintable() and all(0 < len(part) <= _LONGEST_PART and part.strip(".") for part in parts)
    placed = parts[0] in _FOLDERS if len(parts) == 2 else len(parts) == 1 and name not in (*_FOLDERS, _STATE)
    return plain and placed and "\\" not in name


def _check_root(kit: Kit, fingerprint: str) -> None:
    """Checks the first root against what was told, and what came with it against that root.

    While the consortium changes its root there are two: the old one, which was told, has to vouch for the new one.
    Were the new one told, nothing would prove the other, which anybody on the way may have put beside it.
    """
    roots = load_roots(kit.root_certificate)
    told = fingerprint.upper().removeprefix("SHA256:").replace(":", "")
    if certificate_fingerprint(roots[0]).removeprefix("SHA256:").replace(":", "") != told:
        raise ConsortiumError(
            "the root in the answer has another fingerprint than the one given; ask the operator by telephone (while "
            "the consortium changes its root, for the old one's), and do not use this answer"
        )
    chain, crosses = _certificates(kit.certificate), _certificates(kit.startup / CROSS_FILE)
    check_vouched(roots, crosses, roots[:1])
    if not leads_to(chain, roots[0]):
        raise ConsortiumError("the certificate in the answer was not issued by the root in it")
    good_lists(kit.startup / LIST_FILE, roots)


def _certificates(path: Path) -> list[x509.Certificate]:
    """Returns the certificates in a file of the answer; none where it has no such file."""
    try:
        return certificates_in(path.read_bytes()) if path.is_file() else []
    except ValueError:
        raise ConsortiumError(f"{path.name} in the answer is no certificate") from None


def _key_for(kit: Kit, path: Path) -> bytes:
    try:
        content = read_plain(path)
        key = serialization.load_pem_private_key(content, password=None).public_key()
    except (OSError, ValueError, TypeError):
        raise ConsortiumError(f"{path} is no private key without a password") from None
    try:
        certified: object = certificate_in(kit.certificate.read_bytes()).public_key()
    except UNREADABLE:
        certified = None
    if key != certified:
        raise ConsortiumError(f"the answer is for another key than {path}: for which request was it made?")
    return content
