"""What changed between two versions of a job, line by line, for the person who is asked to approve the second.

What came is somebody else's text: nothing of it reaches a terminal but as characters that can be seen.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fedvoxel.governance.submission import Submission
from fedvoxel.records.canonical import canonical_json

_LONGEST_SHOWN = 2000
_PLAIN_KEY = re.compile(r"[\w-]+", re.ASCII)


def changes(before: Submission | None, after: Submission) -> list[str]:
    """Returns what is different, one line each; everything where there is nothing to compare with.

    Args:
        before: The version that was approved last; None where none was.
        after: The version that is to be approved.

    Raises:
        JobError: A file with settings is no JSON.
    """
    old = before.settings if before else {}
    new = after.settings
    lines = [line for name in sorted({*old, *new}) for line in _settings(name, old, new)]
    texts_before = _others(before) if before else {}
    texts = _others(after)
    return lines + [
        line
        for name in sorted({*texts_before, *texts})
        for line in _text(name, texts_before.get(name), texts.get(name))
    ]


def shown(text: str) -> str:
    """Returns a text with what cannot be seen written out: control characters, marks that turn the line around."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _settings(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    was, now = (dict(_leaves("", settings[name])) if name in settings else {} for settings in (old, new))
    for key in sorted({*was, *now}):
        if key not in was:
            yield shown(f"{name}: {key} = {_short(now[key])} (new)")
        elif key not in now:
            yield shown(f"{name}: {key} = {_short(was[key])} (gone)")
        elif was[key] != now[key]:
            yield shown(f"{name}: {key}: {_short(was[key])} -> {_short(now[key])}")


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Returns what stands in a document, whole, by dotted key; no two places have the same."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            # A key may look like a path to somewhere else: in brackets and quotes it is none.
            step = f".{key}" if _PLAIN_KEY.fullmatch(key) else f"[{json.dumps(key)}]"
            yield from _leaves(path + step if path else step.removeprefix("."), item)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(f"{path}[{index}]", item)
    else:
        yield path, canonical_json(value).decode()


def _short(text: str) -> str:
    """Returns a value as it is shown: of a long one the beginning, and a hash by which two that begin alike differ."""
    if len(text) <= _LONGEST_SHOWN:
        return text
    return f"{text[:_LONGEST_SHOWN]}... ({len(text)} characters, SHA-256 {hashlib.sha256(text.encode()).hexdigest()})"


def _others(submission: Submission) -> Mapping[str, bytes]:
    # Not what no settings are called: a file of the app may have the meta's name.
    return {path: submission.files[path] for path in submission.code if path in submission.files}


def _text(name: str, old: bytes | None, new: bytes | None) -> list[str]:
    if old == new:
        return []
    was, now = _lines(old), _lines(new)
    if was is None or now is None:
        return [shown(f"{name}: no text, {len(old or b'')} -> {len(new or b'')} bytes")]
    return [shown(line) for line in difflib.unified_diff(was, now, f"{name} before", f"{name} now", lineterm="")]


def _lines(content: bytes | None) -> list[str] | None:
    try:
        # Only a line feed ends a line, as nowhere two texts look alike then; an empty file is not the same as none.
        return [] if content is None else content.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        return None
