"""Measurements of this project beside its peers, each `python -m benchmarks.NAME`; results go to docs/results/.

Nothing here is installed with the package. Whatever a benchmark makes lies under work/benchmarks/ in the clone.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "work" / "benchmarks"
RESULTS = ROOT / "docs" / "results"
