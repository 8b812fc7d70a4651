"""What hospitals add up to learn how far a model can be trusted: sums and counts about many patients, and what follows.

Everything here is numpy on numbers that sites send; no image is seen, and nothing is about fewer than a minimum number
of patients.
"""
