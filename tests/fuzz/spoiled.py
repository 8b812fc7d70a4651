"""A folder of files of which one is spoiled: how whole kits, jobs, ledgers and commands are given bad input."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.mutation import mutated_bytes, mutated_text

Spoiled = tuple[str, bytes | str]
"""A file's path in the folder and its new content; a name instead makes it something that is no file."""

ODD_KINDS = ("missing", "folder", "link", "loop", "pipe", "huge")


def files_of(folder: Path) -> dict[str, bytes]:
    """Returns the content of a folder's files, by path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def spoiled(files: Mapping[str, bytes], names: Sequence[str]) -> st.SearchStrategy[Spoiled]:
    """One of the named files with other content, along its structure where it is JSON; or with no content at all."""
    choices = []
    for name in names:
        content = files[name]
        choices.append(st.tuples(st.just(name), mutated_bytes((content,))))
        value = _json(content)
        if value is not None:
            texts = st.tuples(st.just(name), mutated_text((value,)))
            choices += [texts, texts]
    odd = st.tuples(st.sampled_from(tuple(names)), st.sampled_from(ODD_KINDS))
    return st.one_of(*choices, odd)


def lay_out(origin: Path, change: Spoiled, folder: Path) -> Path:
    """Copies a folder and spoils one of its files."""
    copied = Path(shutil.copytree(origin, folder / origin.name, symlinks=True))
    put(change, copied)
    return copied


def put(change: Spoiled, folder: Path) -> None:
    """Spoils one file of a folder."""
    name, content = change
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    path.unlink(missing_ok=True)
    if content == "folder":
        path.mkdir()
    elif content == "link":
        path.symlink_to("/dev/zero")
    elif content == "loop":
        path.symlink_to(path.name)
    elif content == "pipe":
        os.mkfifo(path)
    elif content == "huge":
        with path.open("wb") as stream:
            stream.truncate(2**36)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
