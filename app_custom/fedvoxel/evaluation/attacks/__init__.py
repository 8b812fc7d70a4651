"""Attacks a hospital can run on its own cases, to measure what a job's result and updates give away."""
