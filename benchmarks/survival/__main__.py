"""Makes the whole table of what is survived, kept out and flat: python -m benchmarks.survival [--fresh].

Runs what is left of four parts, one after another: faults, a long run, bad inputs, strangers. Faults and bad inputs go
on where they were cut; a part that is finished is not run again. Needs root, as benchmarks.chaos does, and two quiet
cores for about two hours and a half.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import RESULTS, ROOT, WORK
from benchmarks.chaos.machines import why_not
from benchmarks.survival.parts import ENVIRONMENT, PARTS, Part, Row
from fedvoxel.records.atomic import write_text

_WORK = WORK / "survival"


def main() -> int:
    """Runs what is left and writes the table. Exit code 1 where something does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.survival", description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="forget what is finished")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="only these parts now")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the table")
    asked = parser.parse_args()
    if trouble := why_not():
        sys.exit(f"error: {trouble}")
    _WORK.mkdir(parents=True, exist_ok=True)
    for name in asked.only:
        _run(name, PARTS[name], asked.fresh)
    rows = {name: part.rows(_WORK / part.result) for name, part in PARTS.items() if (_WORK / part.result).is_file()}
    for page in _WORK.glob("*.md"):
        write_text(asked.out / page.name, page.read_text())
    write_text(asked.out / "survival.md", table(rows))
    return 0 if all(row.holds for told in rows.values() for row in told) else 1


def _run(name: str, part: Part, fresh: bool) -> None:
    """Runs a part to its end, unless it has ended before."""
    ended = _WORK / f"{name}.ended"
    if fresh:
        ended.unlink(missing_ok=True)
    if ended.is_file():
        return
    words = [*part.words(_WORK), *(part.fresh if fresh else ())]
    print(f"{name}: {' '.join(words[1:])}", flush=True)
    started = time.time()
    code = subprocess.run(words, cwd=ROOT, env=os.environ | ENVIRONMENT, check=False).returncode
    result = _WORK / part.result
    if code not in (0, 1) or not result.is_file() or result.stat().st_mtime < started - 1:
        sys.exit(f"error: {name} ended with {code} and said nothing; say the same command again: it goes on")
    write_text(ended, "")


def table(rows: Mapping[str, Sequence[Row]]) -> str:
    """Returns the page's text.

    Args:
        rows: The lines of each part that was run.
    """
    said = [
        "# What is survived, and who is kept out",
        "",
        "Made by `scripts/benchmark survival`, which goes on where it was cut. How each is tried:",
        "[faults](../faults.md), [bad input](../bad_input.md).",
    ]
    for name, part in PARTS.items():
        said += ["", f"## {name.capitalize()}", ""]
        if name not in rows:
            said.append("Not run yet.")
            continue
        said += [f"All of it: [{Path(part.page).name}]({part.page}).", ""]
        said += ["| what | asked | seen | holds |", "| --- | --- | --- | --- |"]
        said += [f"| {row.what} | {row.asked} | {row.seen} | {_word(row)} |" for row in rows[name]]
    return "\n".join([*said, ""])


def _word(row: Row) -> str:
    return "yes" if row.holds else "**no**"


if __name__ == "__main__":
    sys.exit(main())
