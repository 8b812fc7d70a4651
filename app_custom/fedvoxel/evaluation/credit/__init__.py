"""Adds a run's rounds up to what each hospital contributed, with intervals, cost, and what looks wrong."""
