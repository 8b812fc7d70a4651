"""How pages of a pack say values: every number as its artefact has it, what is missing openly, tables in Markdown."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from fedvoxel.governance.evidence.artefact import KINDS, Entry
from fedvoxel.governance.evidence.form import FORM, QUESTIONS

NOT_TOLD = "not told"
HUMAN = f"human input needed ({FORM})"


def told(value: Any) -> str:
    """Returns a value in words; what is None was not told, or is about too few cases."""
    if value is None:
        return NOT_TOLD
    if isinstance(value, dict):
        return ", ".join(f"{plain(str(name))} {told(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(told, value)) or "none"
    return plain(str(value))


def plain(text: str) -> str:
    """Returns text that means nothing else in a Markdown table, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns a table's lines; the cells are Markdown already."""
    lines = [f"| {' | '.join(headings)} |", f"| {' | '.join('---' for _ in headings)} |"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def name_of(entry: Entry) -> str:
    """Returns what an artefact is called, with its hospital."""
    return KINDS[entry.kind] + (f" ({entry.site})" if entry.site else "")


def artefact_table(entries: Iterable[Entry]) -> list[str]:
    """Returns a table of artefacts with hash and check."""
    rows = [
        (name_of(one), plain(one.source), f"`{one.sha256}`" if one.sha256 else "–", one.check, plain(one.said))
        for one in entries
    ]
    return table(("artefact", "where", "SHA-256", "check", "what was checked"), rows)


def answer_rows(fields: Iterable[str], answers: dict[str, str]) -> list[tuple[str, str]]:
    """Returns what people have stated, each with its question; a blank says that it is one."""
    return [(plain(QUESTIONS[one]), plain(answers[one]) if one in answers else HUMAN) for one in fields]
