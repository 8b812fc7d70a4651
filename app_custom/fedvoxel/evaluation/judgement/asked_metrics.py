"""What may be asked of a package's worth at a hospital; a name for each, and nothing else can be asked."""

from typing import Literal, get_args

AskedMetric = Literal["dice", "nsd", "hd95", "volume", "counts"]
"""Mean Dice; mean surface Dice; mean HD95 in mm; mean volume error in mL and percent; in how many cases a structure was
found, in another place, missed, or found where there is none."""

ASKED_METRICS: tuple[AskedMetric, ...] = get_args(AskedMetric)
"""All of them, in the order in which they are told."""
