"""Points at cases that a person should look at first. A caution is a hint, never a reason to leave a case out.

Outliers are judged within the cohort, by the median and the median absolute deviation of the logarithm.
Source: Iglewicz and Hoaglin 1993, How to detect and handle outliers: modified z-score above 3.5.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from fedvoxel.evaluation.cohorts.case_card import CaseCard
from fedvoxel.evaluation.cohorts.class_marks import ClassMark
from fedvoxel.evaluation.cohorts.number_words import number_words

FEWEST_CASES = 8
"""With fewer cases nothing is called an outlier."""

_MODIFIED_Z = 3.5
_MAD_TO_SIGMA = 0.6745
_LEAST_RATIO = 1.3  # less than this from the median is never called an outlier, however alike the others are
_FEWEST_ALIKE = 4
_ANISOTROPY = 8.0
_SCALE = 1.0  # powers of ten


def cautions(cards: Sequence[CaseCard]) -> dict[str, tuple[str, ...]]:
    """Returns what to look at, by case: sentences, the gravest first; cases without any are there too."""
    found: dict[str, list[str]] = {card.case: [] for card in cards}
    for part in (_same_image(cards), _of_labels(cards), _volume_outliers(cards), _of_geometry(cards), _scales(cards)):
        for case, sentences in part.items():
            found[case].extend(sentences)
    return {case: tuple(sentences) for case, sentences in found.items()}


def common_borders(cards: Sequence[CaseCard]) -> tuple[str, ...]:
    """Returns which classes reach which border in most cases: so much is usual, and no caution of a case."""
    return tuple(
        f"{cards[0].marks[place].name} touches the {side} border of the scan in {count} of {len(cards)} cases: "
        "the scans may show a part of it only"
        for place, borders in enumerate(_usual_borders(cards))
        for side, count in borders.items()
    )


def _usual_borders(cards: Sequence[CaseCard]) -> list[dict[str, int]]:
    found = []
    for place in range(len(cards[0].marks) if cards else 0):
        counts = Counter(side for card in cards for side in card.marks[place].borders)
        found.append({side: n for side, n in counts.items() if n >= _FEWEST_ALIKE and 2 * n > len(cards)})
    return found


def _same_image(cards: Sequence[CaseCard]) -> Mapping[str, list[str]]:
    groups: dict[str, list[CaseCard]] = defaultdict(list)
    for card in cards:
        groups[card.image_sha256].append(card)
    found: dict[str, list[str]] = {}
    for group in groups.values():
        for card in group if len(group) > 1 else []:
            others = [other for other in group if other is not card]
            names = ", ".join(f"{other.case} ({other.split})" for other in others)
            found[card.case] = [f"The same image as {names}: one scan counted more than once"]
    return found


def _of_labels(cards: Sequence[CaseCard]) -> Mapping[str, list[str]]:
    usual = {
        place: Counter(card.marks[place].pieces for card in cards).most_common(1)[0][0]
        for place in range(len(cards[0].marks) if cards else 0)
    }
    often, usual_borders = len(cards) >= FEWEST_CASES, _usual_borders(cards)
    return {
        card.case: [
            sentence
            for place, mark in enumerate(card.marks)
            for sentence in _of_mark(mark, usual[place] if often else mark.pieces, usual_borders[place])
        ]
        for card in cards
    }


def _of_mark(mark: ClassMark, usual_pieces: int, usual_borders: Collection[str]) -> list[str]:
    if not mark.voxels:
        return [f"{mark.name} marks nothing here"]
    found = []
    borders = [side for side in mark.borders if side not in usual_borders]
    if borders:
        found.append(f"{mark.name} touches the scan's border ({', '.join(borders)}): it may be cut off")
    if mark.pieces > usual_pieces:
        found.append(f"{mark.name} lies in {mark.pieces} pieces, elsewhere mostly in {usual_pieces}")
    return found


def _volume_outliers(cards: Sequence[CaseCard]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for place in range(len(cards[0].marks) if cards else 0):
        marked = [card for card in cards if card.marks[place].voxels]
        volumes = np.array([card.marks[place].millilitres for card in marked])
        for card, volume, odd in zip(marked, volumes, _outliers(volumes), strict=True):
            if odd:
                middle, name = float(np.median(volumes)), card.marks[place].name
                size = "large" if volume > middle else "small"
                found[card.case].append(f"{name} is unusually {size}: {volume:.3g} mL, the median is {middle:.3g} mL")
    return found


def _outliers(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> list[bool]:
    if values.size < FEWEST_CASES:
        return [False] * values.size
    logs = np.log(values)
    away = np.abs(logs - np.median(logs))
    spread = max(float(np.median(away)), np.finfo(float).tiny)
    return [bool(odd) for odd in (_MAD_TO_SIGMA * away / spread > _MODIFIED_Z) & (away > np.log(_LEAST_RATIO))]


def _of_geometry(cards: Sequence[CaseCard]) -> Mapping[str, list[str]]:
    found = {}
    for card in cards:
        ratio = max(card.spacing_mm) / min(card.spacing_mm)
        found[card.case] = [f"Voxels are {ratio:.0f} times longer than wide"] if ratio >= _ANISOTROPY else []
    return found


def _scales(cards: Sequence[CaseCard]) -> Mapping[str, list[str]]:
    """Says which scans have intensities of another order of magnitude than the cohort's median scan."""
    bright = {card.case: card.curves.p99 for card in cards if card.curves.p99 > 0}
    if len(bright) < FEWEST_CASES:
        return {}
    middle = float(np.median(list(bright.values())))
    return {
        case: [
            f"Intensities of another scale: 99 % lie below {number_words(value)}, "
            f"in the median case below {number_words(middle)}"
        ]
        for case, value in bright.items()
        if abs(np.log10(value / middle)) >= _SCALE
    }
