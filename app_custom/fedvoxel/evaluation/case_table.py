"""The scores of single cases, as they come from a trainer process and as they stay in the site's own state."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedvoxel.errors import ConfigError
from fedvoxel.records.atomic import write_text
from fedvoxel.updates.scores import CaseScore

PERSONAL_MODEL = "personal"
"""The name of a site's personal model; the federated one is `global`, others have their site's name."""


def case_table_name(model: str) -> str:
    """Returns the name of the table of a model's unseen cases, in the run's folder of the site's state."""
    return f"test_cases_{model}.csv"


def read_scores(rows: Iterable[Mapping[str, Any]]) -> list[CaseScore]:
    """Returns the scores that a trainer process sent as JSON."""
    return [CaseScore(case=row["case"], dice=row["dice"], hd95_mm=row["hd95_mm"]) for row in rows]


def write_case_table(path: Path, scores: Sequence[CaseScore]) -> None:
    """Writes one line per case (pseudonym) and class: Dice in [0, 1] and HD95 in mm, empty where undefined.

    The file is readable by its owner only; it never leaves the site.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", "class", "dice", "hd95_mm"])
    for score in scores:
        writer.writerows([score.case, name, score.dice[name], score.hd95_mm[name]] for name in score.dice)
    write_text(path, stream.getvalue(), mode=0o600)


def read_case_table(path: Path) -> list[CaseScore]:
    """Returns the scores that `write_case_table` wrote.

    Raises:
        ConfigError: The file cannot be read, or is no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        by_case: dict[str, list[dict[str, str]]] = {}
        for row in rows:
            by_case.setdefault(row["case"], []).append(row)
        return [CaseScore(case, _values(found, "dice"), _values(found, "hd95_mm")) for case, found in by_case.items()]
    except (OSError, KeyError, ValueError, TypeError):
        raise ConfigError(f"{path.name} is no table of case scores that this package wrote") from None


def _values(rows: Sequence[Mapping[str, str]], column: str) -> dict[str, float | None]:
    return {row["class"]: float(row[column]) if row[column] else None for row in rows}
