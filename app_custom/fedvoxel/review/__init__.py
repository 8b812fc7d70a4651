"""Lets clinicians look at a model's results in their browser, correct and judge them; every step is kept.

The room is a door: geometry, pictures, painting and statistics are computed in `evaluation.reading`.
"""
