"""Writes the figures as a page of tables and a JSON file."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.parts import Values
from fedvoxel.records.atomic import write_json, write_text

_RECIPE = (
    "The hippocampus job's network, six rounds over four hospitals. Each seed shares the patients out anew: a quarter "
    "for the test, a fifth for validation, the rest for training; every figure is of test patients, which neither the "
    "model nor its calibration has seen. The calibration is fitted from the hospitals' sums alone. Each test case is "
    "tried as it is, spoilt in two ways that the calibration was fitted on (of noise, blur, bias field, gamma, missing "
    "slices) and in two that it was not (of ghosting, spikes, inversion, a hole, motion, cropping), how badly by "
    "chance. One process, one thread, ONNX Runtime. The penalty of the regression was chosen on seed 1's validation "
    "patients, each hospital left out in turn; after seed 1's first test figures what counts as a usual volume or "
    "distance was revised once, and motion, which had only moved the label, was mended. "
    "Seeds 2 and 3 were first run with everything fixed."
)
_GROUPS = {
    "all": "all",
    "clean": "clean alone",
    "clean_and_fitted": "clean, and spoilt as in fitting",
    "clean_and_unseen": "clean, and spoilt as never in fitting",
    "accepted": "all but refused ones",
    "alike": "all but refused and unusual ones",
}
_KINDS_OF_IMAGES = {
    "wrong": "other body parts, other modalities",
    "box of wrong": "boxes of these, of a hippocampus crop's size, called 1 mm",
    "right": "hippocampus studies in DICOM of another source",
    "test": "test patients, clean",
}


def write_results(found: Mapping[int, Values], out: Path) -> None:
    """Writes quality.json and quality.md into `out`."""
    write_json(out / "quality.json", {"seeds": {str(seed): values for seed, values in found.items()}})
    write_text(out / "quality.md", "\n".join([*_page(found), ""]))


def _page(found: Mapping[int, Values]) -> list[str]:
    head = [
        "# Can a result be trusted? Estimates, warnings and calibration on unseen patients",
        "",
        "Made by `scripts/benchmark quality`; what each figure means is explained in "
        "[uncertainty.md](../uncertainty.md).",
        "",
        _RECIPE,
        "",
    ]
    if not found:
        return [*head, "No seed is finished."]
    seeds = list(found.values())
    return [*head, *_estimates(seeds), *_images(seeds), *_spoilt(seeds), *_confidence(seeds), *_looked(seeds)]


def _estimates(seeds: Sequence[Values]) -> list[str]:
    lines = [
        "## The estimated Dice beside the true one",
        "",
        "Spearman's correlation, both structures together; the interval draws whole patients anew. Beside it, what one "
        "feature alone would do: the Dice that calibrated probabilities expect, and how much changed copies agree.",
        "",
        "| versions of test cases | " + " | ".join(f"seed {place}" for place in range(1, len(seeds) + 1)) + " | mean | "
        "expected Dice alone | agreement alone |",
        "| --- |" + " --- |" * (len(seeds) + 3),
    ]
    for key, name in _GROUPS.items():
        groups = [seed["spearman"][key] for seed in seeds]
        cells = [
            f"{group['estimate']:.2f} ({group['interval'][0]:.2f} to {group['interval'][1]:.2f})" if group else "-"
            for group in groups
        ]
        means = [_over(groups, column) for column in ("estimate", "expected_dice_alone", "agreement_alone")]
        lines.append(f"| {name} | {' | '.join(cells)} | {' | '.join(means)} |")
    off = [seed["error"] for seed in seeds]
    return [
        *lines,
        "",
        f"The estimate is off by {mean(one['absolute'] for one in off):.3f} on average "
        f"({mean(one['mean'] for one in off):+.3f} in the mean), over all versions.",
        "",
    ]


def _images(seeds: Sequence[Values]) -> list[str]:
    lines = [
        "## Images that the model was not made for",
        "",
        "By the image alone; no header is looked at. Limits follow from the validation cases: unusual above their 95 % "
        "bound, refused above twice that.",
        "",
        "| images | judged | as usual | unusual | refused | least and largest distance |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for key, name in _KINDS_OF_IMAGES.items():
        groups = [seed["unlike"][key] for seed in seeds if key in seed["unlike"]]
        if not groups:
            continue
        count = [sum(group[column] for group in groups) for column in ("images", "alike", "unusual", "refused")]
        ends = min(group["least"] for group in groups), max(group["most"] for group in groups)
        lines.append(f"| {name} | {' | '.join(map(str, count))} | {ends[0]:.2f}, {ends[1]:.1f} |")
    limits = ", ".join(f"{seed['limits']['warn']:.2f} and {seed['limits']['refuse']:.2f}" for seed in seeds)
    pooled = (
        "All seeds together: other body parts and the hippocampus studies are the same images for each seed's model, "
        f"and count three times; boxes and test patients are drawn anew. Limits: {limits}."
    )
    return [*lines, "", pooled, ""]


def _spoilt(seeds: Sequence[Values]) -> list[str]:
    lines = [
        "## Spoilt images",
        "",
        "| kind | results | true Dice | estimated | unusual | refused |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind in sorted({kind for seed in seeds for kind in seed["spoilt"]}):
        own = [seed["spoilt"][kind] for seed in seeds if kind in seed["spoilt"]]
        rows = sum(one["rows"] for one in own)
        cells = [
            sum(one[column] * one["rows"] for one in own) / rows
            for column in ("dice", "estimate", "unusual", "refused")
        ]
        shown = f"{cells[0]:.3f} | {cells[1]:.3f} | {cells[2]:.0%} | {cells[3]:.0%}"
        lines.append(f"| {kind.replace('_', ' ')} | {rows} | {shown} |")
    return [*lines, ""]


def _confidence(seeds: Sequence[Values]) -> list[str]:
    rows: dict[str, Callable[[Values], Any]] = {
        "temperature": lambda seed: seed["temperature"],
        "expected calibration error before": lambda seed: seed["ece_before"],
        "after": lambda seed: seed["ece_after"],
        "AUROC of entropy for wrong voxels": lambda seed: seed["auroc_entropy"],
        "AUROC of disagreement": lambda seed: seed["auroc_disagreement"],
        "volumes inside their 90 % interval": lambda seed: seed["intervals"].get("covered"),
        "upper over lower end of an interval": lambda seed: seed["intervals"].get("high_over_low"),
    }
    lines = [
        "## Confidence, and volumes",
        "",
        "Of clean test cases; voxels where some structure has a probability of at least 0.05. Intervals of those that "
        "are not unusual.",
        "",
        "| | " + " | ".join(f"seed {place}" for place in range(1, len(seeds) + 1)) + " |",
        "| --- |" + " --- |" * len(seeds),
    ]
    for name, of in rows.items():
        lines.append(f"| {name} | {' | '.join(_number(of(seed)) for seed in seeds)} |")
    return [*lines, ""]


def _looked(seeds: Sequence[Values]) -> list[str]:
    lines = [
        "## What occlusion points at",
        "",
        "Share of the heat within 6 mm of the structure: of the trained model, of the same network with untrained "
        "weights asked about the same voxels, and if heat were everywhere. A map that does not change when the weights "
        "are thrown away explains nothing: the next column is how alike the two maps are (correlation). Then captum's "
        "integrated gradients of the same question, and how alike their blocks are ranked (Spearman).",
        "",
        "| seed | trained | untrained | everywhere | alike | gradients | ranked alike |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    columns = ("near", "near_untrained", "near_by_chance", "alike", "near_gradients", "like_gradients")
    for place, seed in enumerate(seeds, start=1):
        found = seed["looked"]
        cells = (_number(found[name]) for name in columns)
        lines.append(f"| {place} | {' | '.join(cells)} |")
    return [*lines, ""]


def _over(groups: Sequence[Mapping[str, Any]], column: str) -> str:
    known = [group[column] for group in groups if group]
    return f"{mean(known):.2f}" if known else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
