"""Keeps the server's jobs inside its kit, so that a kit can be moved and nothing lies in a shared temporary folder."""

from pathlib import Path

from nvflare.app_common.storages.filesystem_storage import FilesystemStorage

from fedvoxel.errors import ConfigError


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
