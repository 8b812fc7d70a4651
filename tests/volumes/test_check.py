import csv
import stat
from pathlib import Path

import pytest

from fedvoxel.errors import CohortError
from fedvoxel.volumes.check import check_cohort
from fedvoxel.volumes.key_file import write_key_file
from tests.volumes.scans import SHAPE, csv_cohort, pairs_table, site_config


def test_report_says_what_is_usable_and_what_is_not(tmp_path: Path) -> None:
    pairs_table(tmp_path, 8)
    (tmp_path / "patient5_image.nii.gz").unlink()
    site = site_config(a=csv_cohort())
    seen: list[tuple[int, int]] = []
    report = check_cohort(site, "a", None, tmp_path, lambda done, total: seen.append((done, total)))
    assert seen == [(done, 8) for done in range(1, 9)]
    assert len(report.usable) == sum(report.usable_per_split.values()) == 7
    assert report.refused_per_reason == {"missing_image": 1}
    assert report.refused[0].case == site.pseudonym_of("patient5")
    first = report.usable[0]
    assert (first.shape, first.spacing_mm) == (SHAPE, (1.0, 1.0, 1.0))
    assert first.voxels_per_class == {"anterior": 27, "posterior": 18}
    assert [case.case for case in report.usable] == sorted(case.case for case in report.usable)


def test_report_follows_the_jobs_classes(tmp_path: Path) -> None:
    pairs_table(tmp_path, 1)
    site = site_config(a=csv_cohort())
    assert check_cohort(site, "a", ("anterior",), tmp_path).refused_per_reason == {"unexpected_class": 1}
    with pytest.raises(CohortError):
        check_cohort(site, "a", ("tumour",), tmp_path)


def test_key_file_is_the_owners_only(tmp_path: Path) -> None:
    pairs_table(tmp_path, 2)
    site = site_config(a=csv_cohort())
    path = tmp_path / "keys" / "key.csv"
    assert write_key_file(site, ("a",), tmp_path, path) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["case"]: row["pseudonym"] for row in rows} == {
        name: site.pseudonym_of(name) for name in ("patient0", "patient1")
    }
    assert rows[0]["image"] == str(tmp_path / "patient0_image.nii.gz")


def test_key_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    pairs_table(tmp_path, 1)
    with pytest.raises(CohortError, match="--key-file"):
        write_key_file(site_config(a=csv_cohort()), ("a",), tmp_path, tmp_path / "cases.csv" / "key.csv")
