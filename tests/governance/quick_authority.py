"""Certificate authorities for tests: two roots, each made once, since a key takes its time."""

import tempfile
from functools import cache
from pathlib import Path

from fedvoxel.governance.authority import Authority
from fedvoxel.governance.authority_store import create_authority, save_authority

PASSPHRASE = "correct horse battery"


@cache
def _made(number: int) -> Authority:
    folder = Path(tempfile.mkdtemp())
    return create_authority(folder, folder, "small", (3650, 90), None)


def quick_authority(folder: Path, key_folder: Path | None = None, number: int = 0) -> Authority:
    """An authority in `folder` with a first list; `number` tells roots of the same name apart."""
    made = _made(number)
    adopted = Authority(folder, made.roots)
    save_authority(adopted, key_folder or folder, PASSPHRASE)
    adopted.sign_list(90)
    return adopted
