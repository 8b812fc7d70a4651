"""Sends what a run's record says to the tracker that a consortium uses already: MLflow, W&B, ClearML, TensorBoard, CSV.

The trackers follow the server's record of a run and nothing else. What is in it has passed every hospital's policy on
its way there; FLARE's own streaming of metrics would pass it by, and no kit lets a job use it. It runs beside the job,
in a process of its own, so that a tracker that is down or slow disturbs nobody.
"""
