"""What of a device may stay: its maker and model where they are known names, never its serial number."""

from dataclasses import dataclass
from typing import Any

from pydicom import Dataset

from fedvoxel.deid.subject import Subject

MANUFACTURERS = (
    *("Agfa", "Bruker", "Canon", "Carestream", "Elekta", "Esaote", "Fonar", "FUJIFILM", "GE", "GE HealthCare"),
    *("GE MEDICAL SYSTEMS", "Hitachi", "Hitachi Medical Corporation", "Hologic", "Hyperfine", "Imatron", "Marconi"),
    *("Mediso", "MinFound", "Neusoft", "Paramed", "Philips", "Philips Healthcare", "Philips Medical Systems"),
    *("Picker", "Samsung", "Samsung Electronics", "Shimadzu", "SIEMENS", "Siemens Healthcare", "Siemens Healthineers"),
    *("Time Medical", "TOSHIBA", "TOSHIBA_MEC", "UIH", "United Imaging Healthcare", "Varian Medical Systems"),
)
"""Makers of scanners, as they write themselves; case does not count."""

MODELS = (
    *("Achieva", "Achieva dStream", "Aera", "Altea", "Amira", "Avanto", "Avanto_fit", "Espree", "Essenza", "Lumina"),
    *("Magnetom Vida", "MAGNETOM Vida", "MAGNETOM Sola", "MAGNETOM Altea", "MAGNETOM Lumina", "MAGNETOM Terra"),
    *("Prisma", "Prisma_fit", "Skyra", "Skyra_fit", "Sola", "Sonata", "SonataVision", "Symphony", "SymphonyTim"),
    *("Terra", "Trio", "TrioTim", "Verio", "Vida", "Biograph_mMR", "Biograph mMR", "Biograph40", "Biograph64"),
    *("Biograph128", "Biograph 64", "Emotion 16", "Emotion 6", "Perspective", "Sensation 16", "Sensation 40"),
    *("Sensation 64", "SOMATOM Definition", "SOMATOM Definition AS", "SOMATOM Definition AS+"),
    *("SOMATOM Definition Edge", "SOMATOM Definition Flash", "SOMATOM Drive", "SOMATOM Force", "SOMATOM go.Top"),
    *("SOMATOM go.Up", "SOMATOM X.cite", "NAEOTOM Alpha", "Volume Zoom", "BrightSpeed", "Discovery CT750 HD"),
    *("Discovery 690", "Discovery MR450", "DISCOVERY MR750", "DISCOVERY MR750w", "Discovery MR750", "Discovery STE"),
    *("LightSpeed Plus", "LightSpeed Pro 16", "LightSpeed QX/i", "LightSpeed Ultra", "LightSpeed VCT"),
    *("LightSpeed16", "Optima CT660", "Optima MR450w", "Revolution CT", "Revolution EVO", "Revolution HD"),
    *("SIGNA Architect", "SIGNA Artist", "SIGNA EXCITE", "Signa HDxt", "SIGNA HDx", "SIGNA Pioneer", "SIGNA Premier"),
    *("GENESIS_SIGNA", "GEMINI TF", "Ingenia", "Ingenia Ambition S", "Ingenia Ambition X", "Ingenia Elition X"),
    *("Intera", "Panorama HFO", "Brilliance 16", "Brilliance 40", "Brilliance 64", "Brilliance Big Bore"),
    *("Brilliance16", "Brilliance64", "iCT 128", "iCT 256", "Ingenuity CT", "Ingenuity Core 128", "IQon - Spectral CT"),
    *("Mx8000", "Mx8000 IDT 16", "Aquilion", "Aquilion ONE", "Aquilion PRIME", "Aquilion Prime SP", "Titan"),
    *("Vantage Elan", "Vantage Galan 3T", "Vantage Orian", "Airis II", "Oasis", "ECHELON", "Swoop"),
)
"""Models of scanners, as they write themselves; case does not count. A hospital adds its own in the policy."""

_MAKERS = {name.casefold(): name for name in MANUFACTURERS}
_KNOWN_MODELS = {name.casefold(): name for name in MODELS}


def _text(value: Any) -> str:
    return value.strip(" \0") if isinstance(value, str) else ""


@dataclass(frozen=True)
class Maker:
    """Keeps the name of a known maker."""

    does: str = "kept if a known maker of scanners; nothing is kept without device_identity"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        return _MAKERS.get(_text(value).casefold()) if subject.policy.device_identity else None


@dataclass(frozen=True)
class Model:
    """Keeps the name of a known model."""

    other: str | None = None
    does: str = "kept if a known model or in the policy's device_models; nothing is kept without device_identity"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        if not subject.policy.device_identity:
            return self.other
        text = _text(value)
        return text if text in subject.policy.device_models else _KNOWN_MODELS.get(text.casefold(), self.other)


@dataclass(frozen=True)
class SerialNumber:
    """Replaces a device's serial number by a pseudonym."""

    does: str = "replaced by a pseudonym from the project's key; nothing is kept without device_identity"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        text = _text(value)
        return subject.keys.device(text) if text and subject.policy.device_identity else None
