"""Measures what a run says of contributions: FEDVOXEL_DATA=... python -m benchmarks.contribution.

One process with one thread; each finished part is kept, so that the command can be stopped and repeated. The page is
written from all parts that are finished.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks import RESULTS, WORK
from benchmarks.contribution.plan import TRIALS, Part, Trial, configuration, job_of, planned
from benchmarks.contribution.report import write_results
from benchmarks.contribution.training import load_pool, measure
from benchmarks.parts import Parts, Values


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is missing and writes contribution.json and contribution.md."""
    options = _options(arguments)
    work: Path = options.work.resolve()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    wanted = planned(options.seeds, options.trials, options.honest)
    parts, found = Parts(work / "parts"), dict[Part, Values]()
    found |= {part: kept for part in wanted if (kept := parts.get(part.name, configuration(part))) is not None}
    missing = [] if options.only_report else [part for part in wanted if part not in found]
    pool = load_pool(job_of(Trial(1, "nobody"))[0], options.data, work) if missing else []
    for part in missing:
        found[part] = parts.run(part.name, configuration(part), lambda part=part: measure(part, pool))
        print(f"{part.name}: {found[part]['seconds']:.0f} s", flush=True)
    write_results({part: found[part] for part in wanted if part in found}, options.out)
    print(f"written: {options.out / 'contribution.md'}, contribution.json")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3], help="of the comparison with exact values")
    parser.add_argument("--trials", type=int, nargs="*", default=TRIALS, help="seeds with a bad hospital")
    parser.add_argument("--honest", type=int, nargs="*", default=[21, 22], help="seeds without one")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FEDVOXEL_DATA", ".")), help="default: FEDVOXEL_DATA"
    )
    parser.add_argument("--only-report", action="store_true", help="write the page from the parts that are finished")
    parser.add_argument("--work", type=Path, default=WORK / "contribution")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
