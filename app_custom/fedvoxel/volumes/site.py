"""The site's own file, `local/fedvoxel_site.json`: which cohorts there are, how they split, what may be used.

A job names a cohort and classes; paths, patients and splits come from here only.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.dicom.pacs_config import PacsConfig
from fedvoxel.errors import CohortError
from fedvoxel.records.names import AppName, CohortName, RunKey
from fedvoxel.volumes.build_config import BuildConfig, PacsInput, PacsName
from fedvoxel.volumes.pseudonym import key_check, pseudonym
from fedvoxel.volumes.sources import BidsSource, BuiltSource, ClassCode, ClassName, Source
from fedvoxel.volumes.split import SplitFractions

SITE_FILE = "fedvoxel_site.json"
"""The name of the site's own file in its kit's `local/` folder."""

_MOST_BUILT_CODE = 255

AppReference = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]
"""Where an installed app is found: module:attribute."""


class CohortConfig(FrozenModel):
    """Describes one cohort: where its cases are, its label codes and its split.

    Attributes:
        classes: The site's label code of each class (csv, decathlon, built); left out for bids.
        build: How `fedvoxel cohort build` makes a built cohort; None where somebody else fills the folder.
        one_scan_per_patient: The hospital's word that each patient has one case here, needed to protect each patient
            where the list does not name them.
    """

    source: Source
    classes: dict[ClassName, ClassCode] = Field(default_factory=dict)
    split: SplitFractions = SplitFractions()
    one_scan_per_patient: bool = False
    build: BuildConfig | None = None

    @model_validator(mode="after")
    def _classes_fit_the_source(self) -> Self:
        if isinstance(self.source, BidsSource):
            if self.classes:
                raise ValueError("a bids cohort names its classes in source.labels, leave classes out")
        elif not self.classes:
            raise ValueError("expected classes, the label code of each class name")
        if len(set(self.classes.values())) != len(self.classes):
            raise ValueError("two classes have the same label code")
        return self

    @model_validator(mode="after")
    def _build_fits_the_source(self) -> Self:
        if isinstance(self.source, BuiltSource) and max(self.classes.values(), default=0) > _MOST_BUILT_CODE:
            raise ValueError(f"expected label codes up to {_MOST_BUILT_CODE} in a built cohort")
        if self.build is None:
            return self
        if not isinstance(self.source, BuiltSource):
            raise ValueError('build fills a folder of its own: write "source": {"layout": "built", "folder": ...}')
        marked = self.build.labels.class_names
        if set(marked) != set(self.classes):
            had, named = ", ".join(sorted(self.classes)), ", ".join(sorted(marked))
            raise ValueError(f"classes and build.labels must name the same classes, got {had} and {named}")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Returns the names of the classes that the cohort's labels can mark."""
        return tuple(self.source.labels if isinstance(self.source, BidsSource) else self.classes)

    def classes_for(self, asked: tuple[str, ...] | None) -> tuple[str, ...]:
        """Returns the job's classes, or the cohort's own when none are asked for.

        Raises:
            CohortError: A class is asked for that the cohort does not have, or twice, or more than 255.
        """
        classes = self.class_names if asked is None else tuple(asked)
        unknown = [name for name in classes if name not in self.class_names]
        if unknown or not classes or len(set(classes)) != len(classes) or len(classes) > 255:
            had, wanted = ", ".join(self.class_names), ", ".join(classes)
            raise CohortError(f"expected classes among {had}, each once; the job asks for {wanted or 'none'}")
        return classes


class ComputeConfig(FrozenModel):
    """Says what of the machine a trainer may use.

    Attributes:
        threads: Cores; 0 means all.
        patients_at_once: Patients whose gradients are in memory together where each patient is protected; more are
            faster on a GPU and take more memory.
    """

    threads: int = Field(default=1, ge=0, le=1024)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    patients_at_once: int = Field(default=4, ge=1, le=4096)


class ServerAddress(FrozenModel):
    """Says where the consortium's server listens."""

    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)


class ReadStudy(FrozenModel):
    """Says where clinicians' reading of a package is kept, for a reader study of all hospitals.

    Attributes:
        folder: The folder of `fedvoxel review`.
        cohort: The cohort that its patients are in, whose entry in the privacy policy decides what may leave.
    """

    folder: str = Field(min_length=1)
    cohort: CohortName


class WatchedModel(FrozenModel):
    """Says where the results of a model in use are kept, for a drift watch of all hospitals.

    Attributes:
        folder: The folder of `fedvoxel predict`.
        cohort: The cohort whose patients they are like, whose entry in the privacy policy decides what may leave.
    """

    folder: str = Field(min_length=1)
    cohort: CohortName


class SiteConfig(FrozenModel):
    """Is the content of `local/fedvoxel_site.json`.

    Attributes:
        pseudonym_key: 64 hexadecimal digits; hidden in every error, log and representation.
        pacs: The hospital's archives by the names that `build.source.pacs` uses.
        reader_studies: Readings of packages, by the name under which a job asks for them.
        drift_watches: Models in use, by the name under which a job asks for them.
        flower_apps: Flower apps installed here that jobs may have train, by name. Such an app is code that the hospital
            trusts with its cases; nothing else of Flower is run.
    """

    schema_version: Literal[1]
    pseudonym_key: SecretStr
    cohorts: dict[str, CohortConfig] = Field(default_factory=dict)
    pacs: dict[PacsName, PacsConfig] = Field(default_factory=dict)
    reader_studies: dict[RunKey, ReadStudy] = Field(default_factory=dict)
    drift_watches: dict[RunKey, WatchedModel] = Field(default_factory=dict)
    flower_apps: dict[AppName, AppReference] = Field(default_factory=dict)
    compute: ComputeConfig = ComputeConfig()
    server_address: ServerAddress | None = None

    @model_validator(mode="before")
    @classmethod
    def _hide_key(cls, values: Any) -> Any:
        # Before anything can fail: a validation error shows its input.
        if isinstance(values, dict) and isinstance(values.get("pseudonym_key"), str):
            return {**values, "pseudonym_key": SecretStr(values["pseudonym_key"])}
        return values

    @field_validator("pseudonym_key")
    @classmethod
    def _is_hex(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[0-9a-f]{64}", value.get_secret_value()):
            raise ValueError("expected 64 lower-case hexadecimal digits")
        return value

    @model_validator(mode="after")
    def _builds_can_be_made(self) -> Self:
        folders: set[str] = set()
        for name, cohort in self.cohorts.items():
            if cohort.build is None or not isinstance(cohort.source, BuiltSource):
                continue
            source = cohort.build.source
            if isinstance(source, PacsInput) and source.pacs not in self.pacs:
                had = ", ".join(sorted(self.pacs)) or "none"
                raise ValueError(f"cohort {name} is built from a PACS that is not under pacs; described there: {had}")
            folder = os.path.normpath(cohort.source.folder)
            if folder in folders:
                raise ValueError(f"cohort {name} is built into another cohort's folder; give each its own")
            folders.add(folder)
        return self

    def cohort(self, name: str) -> CohortConfig:
        """Returns the cohort with that name.

        Raises:
            CohortError: The site has no such cohort.
        """
        if name not in self.cohorts:
            had = ", ".join(sorted(self.cohorts)) or "none"
            raise CohortError(f"this site has no cohort {name!r}; its site file describes: {had}")
        return self.cohorts[name]

    def pseudonym_of(self, case: str) -> str:
        """Returns the name under which `case` is known outside this site."""
        return pseudonym(self.pseudonym_key.get_secret_value(), case)

    def reader_study(self, name: str, cohort: str) -> ReadStudy:
        """Returns the reading with that name.

        Raises:
            CohortError: The site has none, or it is of another cohort's patients.
        """
        found = self.reader_studies.get(name)
        if found is None:
            raise CohortError(f"this site has no reader study {name!r}; its site file describes none of that name")
        if found.cohort != cohort:
            raise CohortError(f"this site's reader study {name!r} is of another cohort than {cohort!r}")
        self.cohort(cohort)
        return found

    def drift_watch(self, name: str, cohort: str) -> WatchedModel:
        """Returns the model in use with that name.

        Raises:
            CohortError: The site has none, or it is used on another cohort's patients.
        """
        found = self.drift_watches.get(name)
        if found is None:
            raise CohortError(f"this site has no drift watch {name!r}; its site file describes none of that name")
        if found.cohort != cohort:
            raise CohortError(f"this site's drift watch {name!r} is of another cohort than {cohort!r}")
        self.cohort(cohort)
        return found

    @property
    def key_check(self) -> str:
        """Returns what tells this site's `pseudonym_key` from another, and nothing else of it."""
        return key_check(self.pseudonym_key.get_secret_value())


def load_site_config(path: Path) -> SiteConfig:
    """Reads a site's own file; relative paths in it count from the file's folder.

    Raises:
        ConfigError: The file is missing, is not JSON, or has a wrong key.
    """
    return load_json_config(SiteConfig, path, "the site's own file")
