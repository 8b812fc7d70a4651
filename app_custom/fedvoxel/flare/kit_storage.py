"""Keeps the server's jobs inside its kit, so that a kit can be moved and nothing lies in a shared temporary folder.

What FLARE keeps of a job is its only word on it, and one file of it that cannot be read would take all jobs from it:
its scheduler ends for good at the first error, a full disk's too. So that word lies here twice, the first time with a
hash; a job of which neither can be read is left out; and a full disk is waited for.
"""

import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

from nvflare.apis.storage import META, StorageException
from nvflare.app_common.storages.filesystem_storage import FilesystemStorage

from fedvoxel.errors import ConfigError
from fedvoxel.plain_file import read_plain
from fedvoxel.records.atomic import is_disk_full
from fedvoxel.records.twofold import HASHED, whole_copy, write_twofold

HASHED_META = META + HASHED
"""What FLARE keeps of a job, after a line with its SHA-256. It is written first, and counts where it is whole."""

_FULL_PAUSE_S = 2.0

logger = logging.getLogger(__name__)


class KitStorage(FilesystemStorage):
    """Is FLARE's file storage rooted in the kit that runs, wherever it lies.

    FLARE wants an absolute folder in a file that travels with the kit. It changes into the kit's folder before it
    builds its components, so a relative folder says the same on every machine.
    """

    def __init__(self, folder: str = ".", root_dir: str | None = None) -> None:
        """Makes the storage's folder.

        Args:
            folder: Where, relative to the kit.
            root_dir: What `nvflare deploy prepare` writes beside it, a folder of the container; the kit is mounted
                there, and `folder` says where in it.

        Raises:
            ConfigError: The folder is not inside the kit.
        """
        relative = Path(folder)
        if relative.is_absolute() or ".." in relative.parts:
            raise ConfigError(
                f"storage folder: expected a path inside the kit, got {folder!r}; write it relative to the kit"
            )
        super().__init__(root_dir=str(Path.cwd() / relative))
        self._damaged: set[str] = set()
        self._waiting: dict[str, dict[str, Any]] = {}
        self._deleted: set[str] = set()
        self._writing = threading.Lock()

    def create_object(self, uri: str, data: Any, meta: dict[str, Any], overwrite_existing: bool = False) -> str:
        """Stores a job."""
        self._forget(uri)
        return str(super().create_object(uri, data, meta, overwrite_existing))

    def clone_object(self, from_uri: str, to_uri: str, meta: dict[str, Any], overwrite_existing: bool = False) -> str:
        """Stores a copy of a job."""
        self._forget(to_uri)
        return str(super().clone_object(from_uri, to_uri, meta, overwrite_existing))

    def get_meta(self, uri: str) -> dict[str, Any]:
        """Returns what is kept of a job.

        Raises:
            StorageException: There is no such job, or neither file with what is kept of it can be read.
        """
        if (waiting := self._waiting.get(uri)) is not None:
            return dict(waiting)
        folder = self._folder(uri)
        try:
            whole = whole_copy(folder / META)
            if whole is not None:
                return dict(json.loads(whole))
            if (folder / META).is_file():
                read_plain(folder / META)  # FLARE would read one of any size
            return dict(super().get_meta(uri))
        except (OSError, RecursionError, SyntaxError, TypeError, ValueError):
            raise StorageException(f"what is kept of job {folder.name} cannot be read, in neither file") from None

    def list_objects(self, path: str, without_tag: str | None = None) -> list[str]:
        """Returns the jobs that can be read."""
        return [uri for uri in super().list_objects(path, without_tag) if self._can_be_read(uri)]

    def update_meta(self, uri: str, meta: dict[str, Any], replace: bool) -> None:
        """Changes what is kept of a job; waits as long as the disk is full, and others read the change already.

        Of a job that has been deleted nothing is kept: FLARE says why a job could not be deployed after it says that it
        could not, and whoever waits for that may have deleted the job.

        Raises:
            StorageException: There is no such job, or its files cannot be read or written.
        """
        folder = self._folder(uri)
        with self._writing:
            if uri in self._deleted:
                return
            self._waiting[uri] = dict(meta) if replace else self.get_meta(uri) | meta
        while not self._written(uri, folder):
            logger.error("event=disk_full job=%s what=waits for room to write what is kept of it", folder.name)
            time.sleep(_FULL_PAUSE_S)

    def delete_object(self, uri: str) -> str:
        """Removes a job, between what else is written of it.

        Raises:
            StorageException: There is no such job.
        """
        with self._writing:
            folder = super().delete_object(uri)
            self._waiting.pop(uri, None)
            self._deleted.add(uri)
        return str(folder)

    def list_components_of_object(self, uri: str) -> list[str]:
        """Returns what a job consists of."""
        return [name for name in super().list_components_of_object(uri) if name != HASHED_META]

    def _written(self, uri: str, folder: Path) -> bool:
        """Writes the newest that is to be kept of a job, unless another has; says whether there was room."""
        with self._writing:
            if uri not in self._waiting:
                return True
            full = False
            try:
                if not folder.is_dir():
                    raise StorageException(f"there is no job {folder.name}")
                write_twofold(folder / META, json.dumps(self._waiting[uri]).encode("utf-8"))
            except OSError as error:
                full = is_disk_full(error)
                if not full:
                    raise StorageException(f"what is kept of a job cannot be written ({error.strerror})") from None
            finally:
                if not full:
                    del self._waiting[uri]
            return not full

    def _can_be_read(self, uri: str) -> bool:
        try:
            self.get_meta(uri)
        except StorageException as error:
            if uri not in self._damaged:
                logger.error("event=job_damaged reason=%s", error)
            self._damaged.add(uri)
            return False
        return True

    def _folder(self, uri: str) -> Path:
        return Path(self._object_path(uri))

    def _forget(self, uri: str) -> None:
        self._deleted.discard(uri)
        (self._folder(uri) / HASHED_META).unlink(missing_ok=True)
