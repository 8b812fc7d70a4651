"""What changed between two versions of a job, line by line, for the person who is asked to approve the second.

What came is somebody else's text: nothing of it reaches a terminal but as characters that can be seen.
"""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from fedvoxel.governance.submission import Submission
from fedvoxel.records.canonical import canonical_json

_LONGEST_VALUE = 2000


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
    lines = [line for name in sorted({*old, *new}) for line in _settings(name, old.get(name), new.get(name))]
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


def _settings(name: str, old: Any, new: Any) -> Iterator[str]:
    was, now = dict(_leaves("", old)), dict(_leaves("", new))
    for key in sorted({*was, *now}):
        if key not in was:
            yield shown(f"{name}: {key} = {now[key]} (new)")
        elif key not in now:
            yield shown(f"{name}: {key} = {was[key]} (gone)")
        elif was[key] != now[key]:
            yield shown(f"{name}: {key}: {was[key]} -> {now[key]}")


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Returns what stands in a document, by dotted key."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), item)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(f"{path}[{index}]", item)
    elif value is not None or path:
        text = canonical_json(value).decode()
        yield path, text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}... ({len(text)} characters)"


def _others(submission: Submission) -> Mapping[str, bytes]:
    settings = submission.settings
    return {path: content for path, content in submission.files.items() if path not in settings}


def _text(name: str, old: bytes | None, new: bytes | None) -> list[str]:
    if old == new:
        return []
    was, now = _lines(old), _lines(new)
    if was is None or now is None:
        return [shown(f"{name}: no text, {len(old or b'')} -> {len(new or b'')} bytes")]
    return [shown(line) for line in difflib.unified_diff(was, now, f"{name} before", f"{name} now", lineterm="")]


def _lines(content: bytes | None) -> list[str] | None:
    try:
        return (content or b"").decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return None
