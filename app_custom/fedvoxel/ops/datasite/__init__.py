"""A hospital's Syft datasite: requests for evaluations come in by it, and approved aggregates leave by it.

Syft's job folders carry words and answers. Nothing that lies in them is ever run, and nothing in them decides.
"""
