"""The file that holds a backup: a header line, a tar, and the SHA-256 of all before it, encrypted where asked.

A byte that changed is found before anything is unpacked. With a passphrase the tar is cut into pieces of 1 MiB, each
sealed with AES-256-GCM under a key that scrypt makes of the passphrase (RFC 7914; N = 2^17, r = 8, p = 1). A piece's
nonce holds its number and whether it is the last one, so that pieces can be neither exchanged nor cut off (the STREAM
construction of Hoang, Reyhanitabar, Rogaway and Vizár, CRYPTO 2015); the header goes into every seal. Nothing is
compressed, so that a file unpacks to its own size and no more.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fedvoxel.errors import BackupError
from fedvoxel.plain_file import open_plain

MAGIC = b"FedVoxel backup 1 "
_PIECE_BYTES = 1024**2
_TAG_BYTES = 16
_LARGEST_HEADER_BYTES = 10_000
_LONGEST_WORD = 300
_WORDS = ("name", "created", "fedvoxel")
"""What a header says beside the encryption; shown as it is."""

_TRAILER_BYTES = 65
_SCRYPT = {"n": 2**17, "r": 8, "p": 1}
_NOT_OPENED = "the passphrase is wrong, or the backup was changed"


class _Counting(io.RawIOBase):
    """Writes through to a file and hashes what it writes."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target, self.digest = target, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.digest.update(content)
        self._target.write(content)
        return len(content)


class _Sealing(io.RawIOBase):
    """Seals what is written, piece by piece."""

    def __init__(self, target: _Counting, key: bytes, header: bytes) -> None:
        self._target, self._cipher, self._header = target, AESGCM(key), header
        self._pending, self._number = bytearray(), 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._pending += content
        while len(self._pending) > _PIECE_BYTES:
            self._seal(bytes(self._pending[:_PIECE_BYTES]), last=False)
            del self._pending[:_PIECE_BYTES]
        return len(content)

    def finish(self) -> None:
        """Seals the last piece."""
        self._seal(bytes(self._pending), last=True)

    def _seal(self, piece: bytes, last: bool) -> None:
        self._target.write(self._cipher.encrypt(_nonce(self._number, last), piece, self._header))
        self._number += 1


@contextmanager
def writing(path: Path, about: dict[str, Any], passphrase: str | None) -> Iterator[IO[bytes]]:
    """Opens a new backup for the bytes of its tar; it is whole and synced when this ends, and gone after an error.

    Args:
        path: Where it goes; nothing may be there.
        about: What the header says beside the encryption, JSON values.
        passphrase: With which it is encrypted; None leaves it readable.

    Raises:
        BackupError: Something is there already, or cannot be written there.
    """
    salt = os.urandom(16).hex() if passphrase else None
    header = MAGIC + json.dumps({**about, "salt": salt}, sort_keys=True).encode() + b"\n"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BackupError(f"{path.name} is there already; a backup is never overwritten: give another name") from None
    except OSError as error:
        raise _not_written(error) from None
    try:
        with os.fdopen(handle, "wb") as stream:
            counting = _Counting(stream)
            counting.write(header)
            sealing = _Sealing(counting, _key(passphrase, salt), header) if passphrase and salt else None
            content = io.BufferedWriter(sealing or counting)
            yield content
            content.flush()
            if sealing:
                sealing.finish()
            stream.write(counting.digest.hexdigest().encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        path.unlink()
        raise _not_written(error) from None
    except BaseException:
        path.unlink()
        raise


def _not_written(error: OSError) -> BackupError:
    return BackupError(f"the backup could not be written ({error.strerror or type(error).__name__})")


@contextmanager
def reading(path: Path, passphrase: str | None) -> Iterator[tuple[dict[str, Any], IO[bytes]]]:
    """Opens a backup whose every byte is as it was written; yields what its header says, and its tar.

    Raises:
        BackupError: It is no backup, was changed or cut, or does not open with this passphrase.
    """
    try:
        with open_plain(path) as stream:
            header, end = _checked(stream, path.name)
            about = _said(header)
            stream.seek(len(header))
            if (about["salt"] is None) != (passphrase is None):
                needs = "was made with a passphrase; give it" if passphrase is None else "was made without a passphrase"
                raise BackupError(f"{path.name} {needs}")
            if passphrase is None:
                yield about, io.BufferedReader(_Part(stream, end - len(header)))
            else:
                opening = _Opening(stream, end - len(header), _key(passphrase, str(about["salt"])), header)
                yield about, io.BufferedReader(opening)
    except OSError as error:
        raise BackupError(f"{path.name} cannot be read ({error.strerror or type(error).__name__})") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BackupError(f"{path.name} is no backup of this version; update fedvoxel, or take another copy") from None


def _said(header: bytes) -> dict[str, Any]:
    """Returns what a header says, in words that can be shown.

    Raises:
        ValueError: It says something else.
    """
    about: dict[str, Any] = json.loads(header.removeprefix(MAGIC))
    words = [about[name] for name in _WORDS] + ([] if about["salt"] is None else [about["salt"]])
    if not all(isinstance(word, str) and word.isprintable() and len(word) <= _LONGEST_WORD for word in words):
        raise ValueError("a header of other words")
    return about


class _Part(io.RawIOBase):
    """Reads the next bytes of a file, and no more."""

    def __init__(self, stream: IO[bytes], size_bytes: int) -> None:
        self._stream, self._left = stream, size_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._take(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def _take(self, most: int) -> bytes:
        content = self._stream.read(min(most, self._left))
        self._left -= len(content)
        return content


class _Opening(_Part):
    """Reads what `_Sealing` has written."""

    def __init__(self, stream: IO[bytes], size_bytes: int, key: bytes, header: bytes) -> None:
        super().__init__(stream, size_bytes)
        self._cipher, self._header, self._number, self._open = AESGCM(key), header, 0, b""

    def readinto(self, buffer: Any) -> int:
        if not self._open and self._left:
            sealed = self._take(_PIECE_BYTES + _TAG_BYTES)
            try:
                self._open = self._cipher.decrypt(_nonce(self._number, not self._left), sealed, self._header)
            except InvalidTag:
                raise BackupError(_NOT_OPENED) from None
            self._number += 1
        content = self._open[: len(buffer)]
        buffer[: len(content)] = content
        self._open = self._open[len(content) :]
        return len(content)


def _checked(stream: IO[bytes], name: str) -> tuple[bytes, int]:
    """Returns the header and where the tar ends, after a look at every byte."""
    header = stream.readline(_LARGEST_HEADER_BYTES)
    end = os.fstat(stream.fileno()).st_size - _TRAILER_BYTES
    if not header.startswith(MAGIC) or not header.endswith(b"\n") or end < len(header):
        raise BackupError(f"{name} is no FedVoxel backup, or its beginning is lost")
    stream.seek(0)
    digest, left = hashlib.sha256(), end
    while left:
        content = stream.read(min(_PIECE_BYTES, left))
        digest.update(content)
        left -= len(content)
    if stream.read() != digest.hexdigest().encode() + b"\n":
        raise BackupError(f"{name} is not what was written: changed, or cut off; take another copy")
    return header, end


def _key(passphrase: str, salt: str) -> bytes:
    return Scrypt(salt=bytes.fromhex(salt), length=32, **_SCRYPT).derive(passphrase.encode())


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
