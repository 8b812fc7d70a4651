"""The learning rate over all steps of all rounds of a run."""

import math

from fedvoxel.training.config import ScheduleConfig


def rate_factor(config: ScheduleConfig, step: int, total_steps: int) -> float:
    """Returns the learning rate over its peak at `step` (0-based) of `total_steps`.

    Source: Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5 without restarts, after a linear warm-up.
    """
    warmup_steps = round(config.warmup_fraction * total_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if config.name == "constant":
        return 1.0
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return config.final_factor + (1 - config.final_factor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
