"""Finished parts of a benchmark; see `fedvoxel.evaluation.comparison.parts`."""

from fedvoxel.evaluation.comparison.parts import Parts, Values

__all__ = ["Parts", "Values"]
