"""Which metric answers which question, and how each is computed here.

Source: Maier-Hein et al., "Metrics reloaded: recommendations for image analysis validation", Nature Methods 21, 2024
(semantic segmentation: an overlap and a boundary metric, volume and calibration where they matter, object detection for
lesions); Reinke et al., "Understanding metric-related pitfalls in image analysis validation", Nature Methods 21, 2024.
"""

from typing import NamedTuple

from fedvoxel.evaluation.judgement import agreement, comparison, components, confidence, intervals, surface


class Choice(NamedTuple):
    """Is one line of the table.

    Attributes:
        question: What a person wants to know.
        metric: What answers it.
        why: Why this one, and what it does not see.
        implementation: What computes it.
    """

    question: str
    metric: str
    why: str
    implementation: str


DICE_IMPLEMENTATION = "fedvoxel: 2 |A and B| / (|A| + |B|) on the original voxels, equal to MONAI 1.6"

CHOICES: tuple[Choice, ...] = (
    Choice(
        "Is the structure where the model says?",
        "Dice",
        "The usual measure of overlap. Harsh on small structures, blind to shape: read it with NSD.",
        DICE_IMPLEMENTATION,
    ),
    Choice(
        "Is its outline right, to what a reader would let pass?",
        "NSD (surface Dice) at a tolerance",
        "Share of both outlines that lies within the tolerance. Does not depend on size as Dice does.",
        surface.IMPLEMENTATION,
    ),
    Choice(
        "How far is the outline off where it is worst?",
        "HD95",
        "95th percentile of surface distances in mm. A few stray voxels move it; its mean is moved by each failure.",
        surface.IMPLEMENTATION,
    ),
    Choice(
        "Can its volume be used?",
        "Volume error, Bland-Altman",
        "Bias, and how far one patient may be off, in mL. Blind to where the structure is.",
        agreement.IMPLEMENTATION,
    ),
    Choice(
        "Can its confidence be believed?",
        "ECE and Brier score near the structure",
        "The whole scan is left out: far background is easy and hides the error.",
        confidence.IMPLEMENTATION,
    ),
    Choice(
        "Were all lesions found, and how many are none?",
        "Sensitivity and false pieces for each case",
        "For structures that come in several pieces; overlap alone hides a missed small one.",
        components.IMPLEMENTATION,
    ),
    Choice(
        "How sure are these numbers?",
        "95 % intervals over patients",
        "Several scans of one patient count as one patient. Not in it: which hospitals or readers came.",
        intervals.IMPLEMENTATION,
    ),
    Choice(
        "Is it as good as another?",
        "Paired difference, Wilcoxon, non-inferiority",
        "Every case is its own control; the margin was stated before the result.",
        comparison.IMPLEMENTATION,
    ),
)
