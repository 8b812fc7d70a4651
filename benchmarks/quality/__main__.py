"""Measures the estimates of quality, the warnings and the calibration: FEDVOXEL_DATA=... python -m benchmarks.quality.

One process with one thread; a model, its calibration, and each group of figures are kept as they are finished, so that
the command can be stopped and repeated. The page is written from all seeds that are finished.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks import RESULTS, WORK
from benchmarks.parts import Parts, Values
from benchmarks.quality.report import write_results
from benchmarks.quality.summary import figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is missing and writes quality.json and quality.md."""
    options = _options(arguments)
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    parts, found = Parts(work / "parts"), dict[int, Values]()
    for seed in options.seeds:
        asked = {"seed": seed, "cases": options.cases}
        kept = parts.get(f"figures_{seed}", asked)
        if kept is None and not options.only_report:
            kept = parts.run(f"figures_{seed}", asked, lambda seed=seed: _measured(parts, options, work, seed))
        if kept is not None:
            found[seed] = kept
    write_results(found, options.out)
    print(f"written: {options.out / 'quality.md'}, quality.json")
    return 0


def _measured(parts: Parts, options: argparse.Namespace, work: Path, seed: int) -> Values:
    # torch and ONNX Runtime only where something is to be measured.
    from benchmarks.quality.looking import looked_at
    from benchmarks.quality.measuring import answers_of, calibration_of, test_rows
    from benchmarks.quality.onnx_model import onnx_model
    from benchmarks.quality.training import make_hospitals, trained_model
    from benchmarks.quality.unlike import verdicts

    asked = {"seed": seed, "cases": options.cases}
    hospitals = make_hospitals(options.data, work, seed, options.cases)
    weights = trained_model(hospitals, work)
    model = onnx_model(hospitals.task, weights)
    answers = parts.run(f"answers_{seed}", asked, lambda: answers_of(hospitals, model))
    calibration = calibration_of(answers, hospitals)
    print(f"seed {seed}: calibrated on {calibration.patients} patients", flush=True)
    rows = parts.run(f"test_{seed}", asked, lambda: test_rows(hospitals, model, calibration))
    print(f"seed {seed}: {len(rows['rows'])} results of test patients", flush=True)
    unlike = parts.run(f"unlike_{seed}", asked, lambda: {"rows": verdicts(options.data, hospitals, model, calibration)})
    print(f"seed {seed}: {len(unlike['rows'])} images judged", flush=True)
    looked = parts.run(f"looked_{seed}", asked, lambda: {"rows": looked_at(hospitals, model, weights)})
    return figures(calibration, rows, unlike["rows"], looked["rows"])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--cases", type=int, default=None, help="at most so many of each hospital, for a quick trial")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FEDVOXEL_DATA", ".")), help="default: FEDVOXEL_DATA"
    )
    parser.add_argument("--only-report", action="store_true", help="write the page from the parts that are finished")
    parser.add_argument("--work", type=Path, default=WORK / "quality")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
