"""Says which class a segment or structure stands for, by its name or its code.

Names come from the cohort's own description: "Left hippocampus" is compared as text, without regard to case and
surrounding space, and "SCT|10200004" as coding scheme and code value.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from fedvoxel.deid.label_text import plain_name
from fedvoxel.volumes.refusal import geometry_error

LabelNames = Mapping[str, tuple[str, ...]]
"""The names and codes that stand for each class; the class's place in the mapping is its index."""


def class_of(texts: Iterable[str], names: LabelNames) -> int | None:
    """Returns the index of the class that one of `texts` names, or None if no class asks for it.

    Args:
        texts: What a segment or structure is called: its name, and its codes as `codes_of` writes them.
        names: The cohort's names of each class.

    Raises:
        GeometryError: overlapping_classes, when it stands for two classes.
    """
    called = {plain_name(text) for text in texts}
    classes = [index for index, known in enumerate(names.values()) if called & {plain_name(name) for name in known}]
    if len(classes) > 1:
        raise geometry_error("overlapping_classes", "a segment or structure of the label stands for two classes")
    return classes[0] if classes else None


def codes_of(concepts: Collection[Any]) -> list[str]:
    """Returns the codes of a DICOM code sequence as "scheme|value".

    Source: PS3.3 8.8 (code sequence macro; a code's value is short, long, or a URN).
    """
    values = (
        concept.get("CodeValue") or concept.get("LongCodeValue") or concept.get("URNCodeValue") for concept in concepts
    )
    schemes = (concept.get("CodingSchemeDesignator", "") for concept in concepts)
    return [f"{scheme}|{value}" for scheme, value in zip(schemes, values, strict=True) if value]
