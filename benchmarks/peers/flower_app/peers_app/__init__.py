"""The hippocampus job's work as a Flower app."""
