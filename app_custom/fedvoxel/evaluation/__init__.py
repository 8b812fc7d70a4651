"""Judges a finished run: intervals, paired comparisons, pictures and the report that people read."""
