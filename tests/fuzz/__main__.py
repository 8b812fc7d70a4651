"""Has every target's share of inputs read, in parts that are kept, and writes the table: see `scripts/fuzz`."""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fedvoxel.records.atomic import write_json, write_text
from tests.fuzz.process import Tally, read_in_child
from tests.fuzz.target import FAULTS, Kind, Target
from tests.fuzz.targets import named_targets

_ROOT = Path(__file__).resolve().parents[2]
_RESULTS = _ROOT / "docs" / "results"
_COLUMNS: tuple[Kind, ...] = ("refused", "accepted", *FAULTS)
_SLOW = {"commands.command": 0.5, "configs.models": 0.25, "kits.kit": 0.75, "jobs.trees": 0.5, "fobs.archives": 0.5}


def main() -> int:
    """Runs what is not finished yet, and writes the table. Exit code 1 where there was a fault."""
    asked = _arguments()
    if asked.guided:
        return _run_guided(asked)
    asked.work.mkdir(parents=True, exist_ok=True)
    for path in asked.work.glob("*.json") if asked.fresh else ():
        path.unlink()
    for name, target in named_targets():
        count = int(asked.count * _SLOW.get(name, 1.0))
        _part(asked.work / f"{name}.{asked.seed}.json", target, asked.seed, count)
    code = 0
    if asked.coverage_guided:
        command = [sys.executable, "-m", "tests.fuzz", "--guided", "--work", str(asked.work)]
        command += ["--seed", str(asked.seed), "--count", str(asked.coverage_guided)]
        code = subprocess.run(command, cwd=_ROOT, check=False).returncode
    faults = _write(asked.work, asked.out)
    return code or (1 if faults else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Reads bad inputs and counts what came of it.")
    parser.add_argument("--count", type=int, default=450, help="inputs of each target (fewer of slow ones)")
    parser.add_argument("--coverage-guided", type=int, default=0, metavar="COUNT", help="so many that atheris makes")
    parser.add_argument("--seed", type=int, default=1, help="what the inputs follow from")
    parser.add_argument("--work", type=Path, default=_ROOT / "work" / "bad_inputs", help="finished parts")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="folder for the table")
    parser.add_argument("--fresh", action="store_true", help="forget what is finished")
    parser.add_argument("--guided", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run_guided(asked: argparse.Namespace) -> int:
    """Imports the package once more, so that atheris sees each branch that our code takes."""
    import atheris

    with atheris.instrument_imports(include=["fedvoxel"]):
        targets = [(name, target) for name, target in named_targets() if target.bytes_origins]
    for name, target in targets:
        _part(asked.work / f"{name}.{asked.seed}.guided.json", target, asked.seed, asked.count, guided=True)
    return 0


def _part(path: Path, target: Target, seed: int, count: int, guided: bool = False) -> None:
    if path.is_file() and json.loads(path.read_text())["asked"] == count:
        return
    started = time.monotonic()
    tally = read_in_child(target, seed, count, guided)
    seconds = time.monotonic() - started
    said = {"target": target.name, "group": target.group, "guided": guided, "asked": count, "counts": tally.counts}
    write_json(path, said | {"faults": tally.faults, "seconds": round(seconds, 1)})
    sys.stdout.write(f"{path.stem}: {_words(tally)} in {seconds:.0f} s\n")
    sys.stdout.flush()


def _words(tally: Tally) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(tally.counts.items()))


def _write(work: Path, out: Path) -> int:
    """Writes the table of all finished parts and returns the number of faults."""
    parts = [json.loads(path.read_text()) for path in sorted(work.glob("*.json"))]
    rows: dict[tuple[str, str, bool], Counter[str]] = {}
    for part in parts:
        rows.setdefault((part["group"], part["target"], part["guided"]), Counter()).update(part["counts"])
    total: Counter[str] = sum(rows.values(), Counter())
    lines = ["| input | read by | made by | inputs | refused | harmless | crashes | hangs | memory | escapes |"]
    lines.append("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (group, target, guided), counts in sorted(rows.items()):
        lines.append(_row((group, target.replace("_", " "), "atheris" if guided else "hypothesis"), counts))
    lines.append(_row(("**all**", "", ""), total))
    table = "\n".join(lines) + "\n"
    write_text(out / "bad_inputs.md", _HEAD + table + _FOOT)
    faults = {kind: total[kind] for kind in FAULTS}
    write_json(out / "bad_inputs.json", {"inputs": sum(total.values()), "faults": faults})
    sys.stdout.write(table)
    return sum(faults.values())


def _row(words: Sequence[str], counts: Counter[str]) -> str:
    numbers = [sum(counts.values()), *(counts[kind] for kind in _COLUMNS)]
    return "| " + " | ".join([*words, *map(str, numbers)]) + " |"


_HEAD = """# Bad inputs

Made by `scripts/fuzz`; what is bounded, and how, is in [bad_input.md](../bad_input.md). An input is
refused where its reader said so in the way that it promises, harmless where it could be used after all.

"""
_FOOT = """
A crash is any error that the reader does not promise, or the end of its process; a hang more than 20 s of CPU time or a
minute in all; memory a growth of more than 512 MB; an escape anything written, started, dialled or loaded outside the
input's own folder.
"""

if __name__ == "__main__":
    sys.exit(main())
