"""What `fedvoxel review` reads: a prepared folder, a site's cohort, or a signed model on one of them or on images."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedvoxel.cli.trust_options import read, remarks_on_release
from fedvoxel.errors import ConfigError

if TYPE_CHECKING:
    from fedvoxel.review.reading import Reading


@dataclass(frozen=True)
class Asked:
    """Is what the command line says of what is read.

    Attributes:
        package: The signed package, or None to read label maps that are there.
        cohort: A folder, or the name of one of the site's cohorts.
        site: The site's own file, or None.
        root: The consortium's root.
        crl: The root's revocation list.
        releases: The index of releases.
        allow_unknown: Whether a package that the index does not know may be used.
        folder: Where the study is kept.
        memory_mb: Most memory that the model may take.
        series: The number of the series to take in each study.
    """

    package: Path | None
    cohort: str
    site: Path | None
    root: Path | None
    crl: Path | None
    releases: Path | None
    allow_unknown: bool
    folder: Path
    memory_mb: int
    series: int | None


def reading_of(asked: Asked) -> "tuple[Reading, Callable[[], object]]":
    """Returns what is read, and what sets a model to work on it, if there is one; warns of one that is not released.

    Raises:
        FedVoxelError: It cannot be read, or the package is not to be trusted.
    """
    if asked.package is not None:
        return _with_model(asked, asked.package)
    from fedvoxel.review.reading_folder import open_reading_folder
    from fedvoxel.review.site_reading import open_site_cohort
    from fedvoxel.volumes.site import load_site_config

    if asked.site is not None:
        return open_site_cohort(load_site_config(asked.site), asked.cohort, asked.site.parent), _nothing
    return open_reading_folder(Path(asked.cohort)), _nothing


def _with_model(asked: Asked, path: Path) -> "tuple[Reading, Callable[[], object]]":
    from fedvoxel.evaluation.cohorts.private_folder import private_folder
    from fedvoxel.evaluation.inference.memory import MemoryBound
    from fedvoxel.evaluation.inference.model import open_model
    from fedvoxel.export.package import open_package
    from fedvoxel.review.model_case import predict_in_background
    from fedvoxel.review.model_reading import base_reading, open_model_reading
    from fedvoxel.volumes.site import load_site_config

    if asked.root is None:
        raise ConfigError("expected the consortium's root that you have from your own kit: --root, or FEDVOXEL_ROOT")
    trust = read(asked.root, asked.crl)
    package = open_package(path, trust)
    remarks = remarks_on_release(package, asked.releases, trust, asked.allow_unknown)
    for remark in remarks:
        typer.echo(f"warning: {remark}", err=True)
    model = open_model(package, MemoryBound(asked.memory_mb))
    private_folder(asked.folder)
    site = None if asked.site is None else (load_site_config(asked.site), asked.site.parent)
    base = base_reading(model, asked.cohort, asked.folder, site, asked.series)
    reading, cases = open_model_reading(model, base, asked.folder)
    return replace(reading, remarks=remarks), lambda: predict_in_background(cases, model)


def _nothing() -> None:
    """Is what a reading without a model sets to work."""
