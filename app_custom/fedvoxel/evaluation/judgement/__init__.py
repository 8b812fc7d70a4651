"""Judges a packaged model on a hospital's own cases: what a clinician reads before it is used on anybody."""
