import json
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import CohortError, ConfigError
from fedvoxel.volumes.site import CohortConfig, SiteConfig, load_site_config
from tests.volumes.scans import KEY, csv_cohort, site_config, site_values

BIDS: dict[str, Any] = {"layout": "bids", "root": "tree", "image": "T2w", "labels": {"cord": "seg", "grey": "gmseg"}}


def test_site_file_is_read(tmp_path: Path) -> None:
    values = {**site_values(a=csv_cohort()), "server_address": {"host": "server1", "port": 8002}}
    path = tmp_path / "fedvoxel_site.json"
    path.write_text(json.dumps(values))
    site = load_site_config(path)
    assert site.cohort("a").class_names == ("anterior", "posterior")
    assert (site.compute.threads, site.compute.device) == (1, "auto")
    assert site.server_address is not None
    assert site.server_address.port == 8002


def test_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is missing"):
        load_site_config(tmp_path / "fedvoxel_site.json")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"pseudonym_key": "abc"}, "pseudonym_key"),
        ({"pseudonym_key": KEY.upper()}, "pseudonym_key"),
        ({"schema_version": 2}, "schema_version"),
        ({"surplus": 1}, "surplus"),
        ({"compute": {"device": "tpu"}}, "compute.device"),
        ({"compute": {"threads": -1}}, "compute.threads"),
        ({"server_address": {"host": "x", "port": 0}}, "server_address.port"),
        ({"cohorts": {"a": csv_cohort(split={"validation": 0.9, "test": 0.9})}}, "cohorts.a.split"),
        ({"cohorts": {"a": csv_cohort(classes={})}}, "cohorts.a"),
        ({"cohorts": {"a": csv_cohort(classes={"x": 1, "y": 1})}}, "cohorts.a"),
        ({"cohorts": {"a": csv_cohort(classes={"x": 0})}}, "cohorts.a.classes.x"),
        ({"cohorts": {"a": {"source": {"layout": "dicom"}}}}, "cohorts.a.source"),
    ],
)
def test_wrong_key_is_named_and_the_secret_is_not(change: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(SiteConfig, {**site_values(a=csv_cohort()), **change}, "the site's own file")
    assert f" {key}" in str(caught.value)
    assert change.get("pseudonym_key", KEY) not in str(caught.value)


def test_key_is_shown_nowhere() -> None:
    site = site_config()
    assert KEY not in f"{site!r} {site} {site.model_dump()} {site.model_dump_json()}"
    without_version = {key: value for key, value in site_values().items() if key != "schema_version"}
    with pytest.raises(ConfigError) as caught:
        parse_config(SiteConfig, without_version, "the site's own file")
    assert KEY[:8] not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"patient_pattern": "sub-[0-9]+"}, "one group"),
        ({"patient_pattern": "sub-("}, "regular expression"),
        ({"labels": {}}, "labels"),
        ({"image": "../T2w"}, "image"),
    ],
)
def test_wrong_bids_source_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse_config(CohortConfig, {"source": {**BIDS, **change}}, "the cohort")


def test_bids_cohort_names_its_classes_in_its_labels() -> None:
    cohort = parse_config(CohortConfig, {"source": BIDS}, "the cohort")
    assert cohort.class_names == ("cord", "grey")
    with pytest.raises(ConfigError, match="leave classes out"):
        parse_config(CohortConfig, {"source": BIDS, "classes": {"cord": 1}}, "the cohort")


def test_unknown_cohort_says_what_there_is() -> None:
    with pytest.raises(CohortError, match=r"no cohort 'b'.*describes: a"):
        site_config(a=csv_cohort()).cohort("b")


@pytest.mark.parametrize("asked", [("tumour",), (), ("anterior", "anterior")])
def test_jobs_classes_must_be_the_cohorts(asked: tuple[str, ...]) -> None:
    with pytest.raises(CohortError, match="anterior, posterior"):
        site_config(a=csv_cohort()).cohort("a").classes_for(asked)
