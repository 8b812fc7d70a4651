"""Says a card's numbers in words and units, the same on the page and in the picture."""

from fedvoxel.evaluation.cohorts.case_card import CaseCard

_FACTS = {
    "Modality": ("Modality", ""),
    "Manufacturer": ("Manufacturer", ""),
    "ManufacturersModelName": ("Model", ""),
    "MagneticFieldStrength": ("Field strength", " T"),
    "BodyPartExamined": ("Body part", ""),
    "PatientSex": ("Sex", ""),
    "PatientAge": ("Age", " years"),
    "SliceThickness": ("Slice thickness", " mm"),
    "RepetitionTime": ("Repetition time", " s"),
    "EchoTime": ("Echo time", " s"),
    "InversionTime": ("Inversion time", " s"),
    "FlipAngle": ("Flip angle", "°"),
    "KVP": ("Tube voltage", " kV"),
    "ConvolutionKernel": ("Kernel", ""),
    "ContrastBolusAgent": ("Contrast agent", ""),
}


def shape_words(card: CaseCard) -> str:
    """Returns "35 × 51 × 35"."""
    return " × ".join(str(size) for size in card.shape)


def spacing_words(card: CaseCard) -> str:
    """Returns "0.50 × 0.50 × 3.00"."""
    return " × ".join(f"{size:.2f}" for size in card.spacing_mm)


def volume_words(millilitres: float) -> str:
    """Returns millilitres with three digits at least of those that count."""
    return f"{millilitres:.0f}" if millilitres >= 100 else f"{millilitres:#.3g}"


def fact_words(card: CaseCard) -> tuple[tuple[str, str], ...]:
    """Returns what the sidecar says as (name, value with its unit), in a fixed order."""
    known = [(title, card.facts.get(name), unit) for name, (title, unit) in _FACTS.items()]
    return tuple((title, f"{_plain(value)}{unit}") for title, value, unit in known if value is not None)


def _plain(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
