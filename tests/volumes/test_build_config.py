"""How a cohort is to be built is read strictly, and without what only DICOM needs."""

import subprocess
import sys
from typing import Any

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.volumes.build_config import PacsInput, SegLabels
from fedvoxel.volumes.site import SiteConfig
from tests.volumes.scans import KEY, csv_cohort

SEG = {"kind": "seg", "names": {"liver": ["Liver", "SCT|10200004"]}}
ARCHIVE = {"protocol": "dicomweb", "url": "https://pacs.example/dicom-web"}


def built(**changes: Any) -> dict[str, Any]:
    build = {
        "source": {"folder": "dicom"},
        "image": {"modality": "CT"},
        "labels": SEG,
        "deid": {"project": "livers"},
    }
    source = {"layout": "built", "folder": "cohorts/liver"}
    return {"source": source, "classes": {"liver": 1}, "build": build | changes}


def site_of(cohort: dict[str, Any], **others: Any) -> SiteConfig:
    values = {"schema_version": 1, "pseudonym_key": KEY, "cohorts": {"liver": cohort}, **others}
    return parse_config(SiteConfig, values, "the site's own file")


def test_a_cohort_from_a_folder_and_one_from_a_pacs() -> None:
    site = site_of(built())
    assert site.cohort("liver").class_names == ("liver",)
    build = site.cohort("liver").build
    assert build is not None and isinstance(build.labels, SegLabels) and build.deid.project == "livers"
    asked = {"pacs": "main", "query": {"PatientID": ["4711"]}}
    site = site_of(built(source=asked), pacs={"main": ARCHIVE})
    build = site.cohort("liver").build
    assert build is not None and isinstance(build.source, PacsInput) and build.source.pacs == "main"
    assert "4711" not in f"{site!r} {site.model_dump_json()}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source": {"pacs": "other", "query": {}}}, "not under pacs; described there: none"),
        ({"source": {}}, "build.source.folder"),
        ({"source": {"folder": "a", "surplus": 1}}, "build.source.folder.surplus"),
        (
            {"labels": {"kind": "seg", "names": {"spleen": ["Spleen"]}}},
            "must name the same classes, got liver and spleen",
        ),
        ({"labels": {"kind": "seg", "names": {"liver": []}}}, "at least one name or code for liver"),
        ({"labels": {"kind": "seg", "names": {"liver": ["Liver", "liver "]}}}, "each name or code once"),
        ({"labels": {"kind": "sketch"}}, "build.labels"),
        ({"labels": {"kind": "nifti", "table": "t.csv", "codes": {"liver": 0}}}, "codes.liver"),
        ({"image": {"modality": "ct"}}, "build.image.modality"),
        ({"image": {"modality": "CT", "minimum_slices": 1}}, "minimum_slices"),
        ({"case_memory_gib": 0}, "case_memory_gib"),
        ({"deid": {}}, "build.deid.project"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        site_of(built(**change))
    assert said in str(caught.value)


@pytest.mark.parametrize("folder", ["cohorts/liver", "./cohorts/liver", "cohorts//liver/", "x/../cohorts/liver"])
def test_two_cohorts_are_not_built_into_one_folder(folder: str) -> None:
    other = {**built(), "source": {"layout": "built", "folder": folder}}
    with pytest.raises(ConfigError, match="another cohort's folder"):
        parse_config(
            SiteConfig,
            {"schema_version": 1, "pseudonym_key": KEY, "cohorts": {"a": built(), "b": other}},
            "the site's own file",
        )


def test_only_a_built_cohort_is_built() -> None:
    with pytest.raises(ConfigError, match='"layout": "built"'):
        site_of(csv_cohort(classes={"liver": 1}, build=built()["build"]))
    with pytest.raises(ConfigError, match="label codes up to 255"):
        site_of({**built(), "classes": {"liver": 256}})
    with pytest.raises(ConfigError, match="expected classes"):
        site_of({**built(), "classes": {}})


def test_a_misplaced_patient_is_not_quoted() -> None:
    with pytest.raises(ConfigError) as caught:
        site_of(built(source={"query": {"PatientID": ["4711"]}}), pacs={"main": ARCHIVE})
    assert "4711" not in str(caught.value)


def test_a_site_without_dicom_reads_its_file() -> None:
    program = (
        "import sys; import fedvoxel.volumes.site, fedvoxel.volumes.layouts; "
        "print(*{name.split('.')[0] for name in sys.modules} & {'pydicom', 'highdicom', 'pynetdicom', 'numpy'})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
