"""Opens the folder in which patients' pictures are kept: only its owner may enter."""

import os
import stat
from pathlib import Path

from fedvoxel.errors import CohortError

OWNER_ONLY_FILE = 0o600
_OWNER_ONLY_FOLDER = 0o700


def private_folder(folder: Path) -> Path:
    """Returns `folder`, made with mode 0700 if it is not there; its parents are made as usual.

    Raises:
        CohortError: It cannot be made, is no folder, or is one that holds something and that others may enter.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=_OWNER_ONLY_FOLDER, exist_ok=True)
        if stat.S_IMODE(folder.stat().st_mode) & 0o077:
            if os.listdir(folder):
                raise CohortError(
                    "--out names a folder in use that others than its owner may enter: name a new folder, or take "
                    "their rights away (chmod 700)"
                )
            folder.chmod(_OWNER_ONLY_FOLDER)
    except OSError as error:
        raise CohortError(f"the folder of --out cannot be used: {error.strerror}; choose another") from None
    return folder
