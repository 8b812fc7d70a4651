"""The scores of single cases, as they come from a trainer process and as they stay in the site's own state."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedvoxel.records.atomic import write_text
from fedvoxel.updates.scores import CaseScore


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
