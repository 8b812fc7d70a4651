"""What code that came with a job could do, as far as reading it without running it can tell.

For the person who approves it: each place where it reaches the network, other programs, the machine or its files. Code
that a reader cannot follow is refused whoever approves: what is built or loaded while it runs, what reaches around
Python's own names, what is no source text. A scan proves nothing harmless: it knows what `code_names` lists and no
more, and who approves code trusts who wrote it.

Written here rather than taken from bandit, which looks for mistakes in code of one's own: it reports neither an import
of the network or of `os` nor a file that is written, which is what is asked here.
"""

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from fedvoxel.governance import code_names as names
from fedvoxel.governance.code_places import CodeFinding, imported, places
from fedvoxel.governance.job_folder import META_FILE

_TYPE_COMMENT = re.compile(r"#\s*type:\s*(?P<said>.*)")


def scan(files: Mapping[str, bytes], code: tuple[str, ...]) -> tuple[CodeFinding, ...]:
    """Looks through what came with a job besides its settings, and at what these then have FLARE build.

    Args:
        files: The app's files by path.
        code: Those that are no settings, as `Submission.code` has them.

    Returns:
        What was found, by file and line.
    """
    found = {finding for path in code if path in files for finding in _file(path, files[path])}
    # Of an app's file with that name it says nothing: the job's own meta is no file of the app.
    if code.count(META_FILE) > (META_FILE in files):
        found.add(CodeFinding(META_FILE, 0, "says what program or image the job is started with", refused=True))
    if code:
        found |= {finding for path in set(files) - set(code) for finding in _settings(path, files[path])}
    return tuple(sorted(found))


def _settings(path: str, content: bytes) -> Iterator[CodeFinding]:
    """Looks at the classes that settings name: with a job that holds code, FLARE asks no list of classes."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return  # no such job is taken
    for named in _classes(values):
        module, _, name = named.rpartition(".")
        asked = ast.ImportFrom(module, [ast.alias(name)], 0, lineno=0)
        for finding in imported(path, asked):
            yield CodeFinding(path, 0, f"has FLARE build {named}: {finding.what}", finding.refused)


def _classes(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (value[key] for key in ("path", "class_path") if isinstance(value.get(key), str))
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _classes(item)


def _file(path: str, content: bytes) -> Iterator[CodeFinding]:
    kind = PurePosixPath(path).suffix
    if kind != ".py" and kind not in names.TEXT:
        yield CodeFinding(path, 0, f"is no source text (*{kind})", refused=True)
        return
    try:
        text = content.decode("utf-8")
        # In another encoding that the file itself names, Python would run other words than a reader sees.
        if kind == ".py" and tokenize.detect_encoding(io.BytesIO(content).readline)[0] not in ("utf-8", "utf-8-sig"):
            raise ValueError(kind)
        found = [*places(path, ast.parse(text.removeprefix("\ufeff"))), *_comments(path, text)] if kind == ".py" else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield CodeFinding(path, 0, "cannot be read as Python or UTF-8 text", refused=True)
        return
    yield from found


def _comments(path: str, text: str) -> Iterator[CodeFinding]:
    """Looks at comments that say a type: TorchScript runs them."""
    for number, line in enumerate(text.splitlines(), 1):
        said = _TYPE_COMMENT.search(line)
        if said and set(re.findall(r"\w+", said["said"])) & (names.HIDING_NAMES | names.BY_NAME | names.BAD_TEXTS):
            yield CodeFinding(path, number, "says a type in a comment that is run", refused=True)
