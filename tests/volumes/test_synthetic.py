import filecmp
import importlib.util
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.volumes import brain_template
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.plan import PreprocessingPlan
from fedvoxel.volumes.scanner_style import STYLES
from fedvoxel.volumes.synthetic import CLASSES, HOSPITALS, brain_demo_cohort, make_brain_demo
from tests.volumes.scans import site_config

CASES = 2


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("nilearn", reason="the template comes with nilearn: pip install -c constraints.txt '.[demo]'")
    out = tmp_path_factory.mktemp("demo")
    seen: list[tuple[int, int]] = []
    tables = make_brain_demo(out, cases_per_hospital=CASES, seed=3, progress=lambda *at: seen.append(at))
    assert seen == [(done, 8) for done in range(1, 9)]
    assert tables == {hospital: out / hospital / "cases.csv" for hospital in HOSPITALS}
    return out


def test_every_simulated_case_is_usable_and_small(demo: Path) -> None:
    site = site_config(
        **{
            hospital: {**brain_demo_cohort(demo / hospital / "cases.csv"), "split": {"validation": 0, "test": 0}}
            for hospital in HOSPITALS
        }
    )
    for hospital in HOSPITALS:
        cases, refused = load_cases(site, hospital, tuple(CLASSES), PreprocessingPlan(), "training", demo)
        assert (len(cases), refused) == (CASES, ())
        for case in cases:
            assert all(30 <= size <= 60 for size in case.label.shape)
            shares = np.bincount(case.label.ravel(), minlength=3) / case.label.size
            assert 0.1 < shares[1] < 0.3  # grey matter
            assert 0.05 < shares[2] < 0.2  # white matter
            means = [case.image[0][case.label == code].mean() for code in range(3)]
            assert means[0] < means[1] < means[2]


def test_hospitals_differ_as_their_scanners_do(demo: Path) -> None:
    seen = {}
    for hospital, style in zip(HOSPITALS, STYLES, strict=True):
        image = nibabel.load(demo / hospital / "images" / "head_001.nii.gz")
        assert "".join(nibabel.aff2axcodes(image.affine)) == style.orientation
        in_ras = nibabel.as_closest_canonical(image).header.get_zooms()
        assert in_ras == pytest.approx(style.spacing_mm, rel=1e-3)
        seen[hospital] = float(np.percentile(image.get_fdata(), 99))
    assert max(seen.values()) / min(seen.values()) > 100


def test_no_two_heads_are_the_same(demo: Path) -> None:
    contents = {path.read_bytes() for path in demo.rglob("labels/*.nii.gz")}
    assert len(contents) == CASES * len(HOSPITALS)


def test_patients_of_two_hospitals_are_never_the_same(demo: Path) -> None:
    rows = [line for hospital in HOSPITALS for line in (demo / hospital / "cases.csv").read_text().splitlines()[1:]]
    assert len({row.split(",")[1] for row in rows}) == len(rows)


def test_same_seed_makes_the_same_bytes(demo: Path, tmp_path: Path) -> None:
    make_brain_demo(tmp_path / "again", ("hospital-a",), CASES, seed=3)
    make_brain_demo(tmp_path / "other", ("hospital-a",), CASES, seed=4)
    names = ["cases.csv", "images/head_001.nii.gz", "labels/head_002.nii.gz"]
    again = filecmp.cmpfiles(demo / "hospital-a", tmp_path / "again" / "hospital-a", names, shallow=False)
    assert again == (names, [], [])
    other = filecmp.cmpfiles(demo / "hospital-a", tmp_path / "other" / "hospital-a", names[1:], shallow=False)
    assert other == ([], names[1:], [])


def test_notice_says_what_it_is(demo: Path) -> None:
    notice = " ".join((demo / "README.txt").read_text().split())
    assert "simulated images, not patient data" in notice
    assert "Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre" in notice
    assert "provided that the above copyright notice appear in all copies" in notice
    assert not any("patient" in path.name for path in demo.rglob("*"))


def test_without_nilearn_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brain_template, "find_spec", lambda name: importlib.util.find_spec("no_such_package"))
    with pytest.raises(ConfigError, match=r"'\.\[demo\]"):
        brain_template.load_brain_template()
