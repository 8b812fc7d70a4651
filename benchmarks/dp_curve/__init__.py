"""Dice of the protected hippocampus job over epsilon, and what each part of its recipe buys."""
