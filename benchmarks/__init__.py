"""Measurements of this project beside its peers, each `python -m benchmarks.NAME`; results go to docs/results/.

Nothing here is installed with the package. Whatever a benchmark makes lies under work/benchmarks/ in the clone.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "work" / "benchmarks"
RESULTS = ROOT / "docs" / "results"
RUNS = RESULTS / "runs"
"""Finished runs of benchmarks that take hours, in a folder each: committed, so that several sessions can share the work
and anybody can make the tables again without the training. The sets that they are about are published ones."""
