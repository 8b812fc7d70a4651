"""Compares several jobs over the same cohorts and seeds: one table, one picture of curves, who gained how much."""
