"""What can be said of each PACS that a site's file describes, for `fedvoxel pacs check` and `fedvoxel site check`."""

from pathlib import Path
from typing import TYPE_CHECKING

from fedvoxel.errors import ConfigError, DicomError
from fedvoxel.governance.finding import Finding, error, ok, warning

if TYPE_CHECKING:
    from fedvoxel.dicom.pacs import Pacs
    from fedvoxel.volumes.site import SiteConfig

_TOPIC = "pacs"
SHORT_S = 5.0
"""Seconds that a check of the whole site waits for a PACS."""


def opened(site: "SiteConfig", name: str, base: Path, longest_s: float | None = None) -> "Pacs":
    """Returns a PACS of the site's file, with a timeout of at most `longest_s`.

    Raises:
        ConfigError: There is none of that name, its files are not in order, or the DICOM packages are not installed.
    """
    if name not in site.pacs:
        had = ", ".join(sorted(site.pacs)) or "none"
        raise ConfigError(f"this site has no PACS {name!r}; its site file describes: {had}")
    config = site.pacs[name]
    if longest_s is not None:
        config = config.model_copy(update={"timeout_s": min(config.timeout_s, longest_s)})
    try:
        from fedvoxel.dicom.pacs import open_pacs

        return open_pacs(config, base)
    except ImportError:
        raise ConfigError("a PACS needs the packages for DICOM; install them with: pip install '.[dicom]'") from None


def checked(site: "SiteConfig", name: str, base: Path, longest_s: float | None = None) -> Finding:
    """Returns what a call finds: an error in the site's own files, a warning of a PACS that does not do its part."""
    try:
        opened(site, name, base, longest_s).check()
    except ConfigError as problem:
        return error(_TOPIC, f"{name}: {problem}")
    except DicomError as problem:
        return warning(_TOPIC, f"{name}: {problem}")
    return ok(_TOPIC, f"{name}: answers, and grants this site query and retrieval ({_way(site, name)})")


def _way(site: "SiteConfig", name: str) -> str:
    from fedvoxel.dicom.pacs_config import DimseConfig

    config = site.pacs[name]
    if isinstance(config, DimseConfig):
        if config.tls is None:
            return "DIMSE, unencrypted"
        return "DIMSE, mutual TLS" if config.tls.certificate else "DIMSE, TLS"
    return "DICOMweb, TLS" if config.url.startswith("https") else "DICOMweb, on this machine's own loopback"
