"""The noised bytes of a ledger's releases: written once, read back only if they are still those that were kept."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from fedvoxel.errors import LedgerError, UpdateError
from fedvoxel.plain_file import MOST_ARRAYS_BYTES, read_plain
from fedvoxel.privacy.ledger_entries import Kept
from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.chain_entry import ADVICE, Entry
from fedvoxel.updates.secure.masked import MASKED
from fedvoxel.updates.weights_file import from_bytes


class KeptBytes:
    """Is the folder with one file for each kept release."""

    def __init__(self, folder: Path) -> None:
        """Touches no file.

        Args:
            folder: The ledger's folder; the files lie in `releases/` in it.
        """
        self._folder = folder

    def write(self, release_id: str, content: bytes) -> tuple[Path, str]:
        """Writes a release's bytes, synced, and returns their file and SHA-256 (hexadecimal).

        Raises:
            LedgerError: The disk is full or cannot be written.
        """
        path = self._path(release_id)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_bytes(path, content, mode=0o600)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise LedgerError(f"release {release_id} cannot be kept ({reason}); it is not sent") from None
        return path, hashlib.sha256(content).hexdigest()

    def read(self, kept: Kept | None) -> bytes | None:
        """Returns a release's bytes, or None if it has none, or they are missing or not the ones that were kept."""
        if kept is None:
            return None
        try:
            content = read_plain(self._path(kept.release_id), MOST_ARRAYS_BYTES)
        except OSError:
            return None
        return content if hashlib.sha256(content).hexdigest() == kept.sha256 else None

    def can_be_sent_again(self, kept: Kept) -> bool:
        """Says whether a release's bytes are there and whole, and hide behind no masks, which go with their attempt."""
        content = self.read(kept)
        return content is not None and not _is_masked(content)

    def check_not_alone(self, entries: Sequence[Entry]) -> None:
        """Checks that there are entries where there are releases: those come after them, and never go with them.

        Raises:
            LedgerError: All entries are gone.
        """
        if not entries and any((self._folder / "releases").glob("*.bin")):
            raise LedgerError(
                f"ledger.jsonl of {self._folder.name} is gone, and releases that it wrote are there; {ADVICE}"
            )

    def _path(self, release_id: str) -> Path:
        return self._folder / "releases" / f"{release_id}.bin"


def _is_masked(content: bytes) -> bool:
    try:
        return MASKED in from_bytes(content)
    except UpdateError:
        return False  # no arrays at all
