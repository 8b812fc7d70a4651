"""A cohort from a folder: every series a case or a refusal, done once, and the same whatever happens in between."""

import gzip
import json
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from fedvoxel.config import parse_config
from fedvoxel.errors import CohortError, DicomError, GeometryError
from fedvoxel.volumes.check import check_cohort
from fedvoxel.volumes.cohort.build import BuildReport, build_cohort
from fedvoxel.volumes.cohort.folder import opened
from fedvoxel.volumes.cohort.origins import write_origins
from fedvoxel.volumes.cohort.records import BuildProgress
from fedvoxel.volumes.key_file import write_key_file
from fedvoxel.volumes.layouts import list_cases
from fedvoxel.volumes.loading import load_usable_cases
from fedvoxel.volumes.nifti import read_labelled_volume
from fedvoxel.volumes.plan import PreprocessingPlan
from fedvoxel.volumes.shared_patients import cohorts_sharing
from fedvoxel.volumes.site import SiteConfig
from fedvoxel.volumes.split import split_of
from fedvoxel.volumes.statistics import site_statistics
from tests.volumes.cohort.studies import CLASSES, SECRET, cohort_values, files_in, generated_study, site_of, write
from tests.volumes.dicom_cases import image_slices, label_voxels, seg_of
from tests.volumes.scans import KEY, write_nifti

FOLDER = {"folder": "dicom"}
SITE = site_of(cohort_values(FOLDER))


@pytest.fixture(scope="module")
def dicom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labelled patients, one without a label, one without a name, a text, and a CT that nobody asked for."""
    folder = tmp_path_factory.mktemp("source") / "dicom"
    for number in range(3):
        generated_study(folder, number)
    generated_study(folder, 3, labelled=False)
    generated_study(folder, 4, patient="")
    scout = image_slices()
    for each in scout:
        each.Modality = "CT"
    write(folder / "scout", scout)
    (folder / "README.txt").write_text("not DICOM")
    return folder


@pytest.fixture
def base(dicom: Path, tmp_path: Path) -> Path:
    """A site's folder with a source of its own, so that a test may change it."""
    shutil.copytree(dicom, tmp_path / "dicom")
    return tmp_path


@pytest.fixture(scope="module")
def done(dicom: Path) -> tuple[BuildReport, list[BuildProgress]]:
    """The cohort of `dicom`, built beside it, and what was told meanwhile."""
    seen: list[BuildProgress] = []
    return build(dicom.parent, workers=2, on_progress=lambda now: seen.append(replace(now))), seen


@pytest.fixture
def first(done: tuple[BuildReport, list[BuildProgress]], dicom: Path, base: Path) -> BuildReport:
    """The same cohort, built in `base` already."""
    shutil.copytree(dicom.parent / "built", base / "built")
    return done[0]


def build(base: Path, site: Any = SITE, **options: Any) -> BuildReport:
    return build_cohort(site, "main", base, options.pop("workers", 1), **options)


def test_each_series_becomes_a_case_or_is_refused(
    done: tuple[BuildReport, list[BuildProgress]], first: BuildReport, base: Path
) -> None:
    report, seen = done
    assert (report.built, report.reused, report.dropped) == (3, 0, 0)
    assert report.refused_per_reason == {"missing_label": 1, "unknown_patient": 1}
    assert report.manifest.files_refused == {"not_dicom": 1}
    last = seen[-1]
    assert (last.built, last.refused, last.known) == (3, 2, 5) and last.files[0] == last.files[1] > 0
    assert len(seen) > 10
    for entry in report.manifest.cases:
        assert entry.split == split_of(entry.patient, SITE.cohort("main").split)
    checked = check_cohort(SITE, "main", None, base)
    assert [case.case for case in checked.usable] == [entry.case for entry in report.manifest.cases]
    assert checked.refused_per_reason == report.refused_per_reason
    assert checked.usable[0].voxels_per_class == {"front": 233, "back": 42}


def ras_affine(slices: list[Dataset]) -> NDArray[np.float64]:
    """The affine (4, 4) from (column, row, slice) to RAS millimetres, by the headers alone."""
    first, last = (np.array(slices[place].ImagePositionPatient, dtype=float) for place in (0, -1))
    across, down = np.reshape(np.array(slices[0].ImageOrientationPatient, dtype=float), (2, 3))
    rows_mm, columns_mm = slices[0].PixelSpacing
    affine = np.eye(4)
    affine[:3] = np.stack([across * columns_mm, down * rows_mm, (last - first) / (len(slices) - 1), first], axis=1)
    return np.diag([-1.0, -1, 1, 1]) @ affine


def upright(image: Any) -> tuple[NDArray[Any], NDArray[np.float64]]:
    turned = nibabel.as_closest_canonical(image)
    return np.asanyarray(turned.dataobj), turned.affine


def test_voxels_and_label_are_those_of_the_series(tmp_path: Path) -> None:
    slices = generated_study(tmp_path / "dicom", 0)
    (entry,) = build(tmp_path).manifest.cases
    pixels = np.stack([each.pixel_array for each in slices])
    for kind, stack in (("images", pixels), ("labels", label_voxels())):
        written = nibabel.load(tmp_path / "built" / kind / f"{entry.case}.nii.gz")
        assert written.get_data_dtype() == (np.int16 if kind == "images" else np.uint8)
        expected = nibabel.Nifti1Image(stack.transpose(2, 1, 0).astype(np.int16), ras_affine(slices))
        assert np.array_equal(upright(written)[0], upright(expected)[0])
        assert np.allclose(upright(written)[1], upright(expected)[1], atol=1e-4)


def test_labels_have_the_codes_of_the_sites_file(tmp_path: Path) -> None:
    generated_study(tmp_path / "dicom", 0)
    site = site_of({**cohort_values(FOLDER), "classes": {"back": 7, "front": 200}})
    (entry,) = build(tmp_path, site).manifest.cases
    label = nibabel.load(tmp_path / "built" / "labels" / f"{entry.case}.nii.gz")
    counts = dict(zip(*np.unique(np.asanyarray(label.dataobj), return_counts=True), strict=True))
    assert (counts[200], counts[7]) == (233, 42)
    (usable,) = check_cohort(site, "main", ("front", "back"), tmp_path).usable
    assert usable.voxels_per_class == {"front": 233, "back": 42}


def test_nothing_of_a_patient_is_left_and_only_the_owner_may_look(first: BuildReport, base: Path) -> None:
    secrets = [SECRET, "DOE", "PID-0", "1.2.826.0.1.3680043", str(base)]
    for name, content in files_in(base / "built").items():
        text = gzip.decompress(content) if name.endswith(".gz") else content
        assert not [secret for secret in secrets if secret.encode() in text], name
        assert stat.S_IMODE((base / "built" / name).stat().st_mode) == 0o600
    folders = [base / "built", *(path for path in (base / "built").rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


def test_the_result_does_not_depend_on_cores_or_order(first: BuildReport, base: Path) -> None:
    before = files_in(base / "built")
    shutil.rmtree(base / "built")
    for folder in sorted((base / "dicom").iterdir()):
        if folder.is_dir():  # the same files by other names, in another order
            for number, path in enumerate(sorted(folder.iterdir(), reverse=True)):
                path.rename(base / "dicom" / f"{folder.name}-{number}")
            folder.rmdir()
    again = build(base)
    assert again.built == 3 and again.manifest == first.manifest
    after = files_in(base / "built")
    assert {name: content for name, content in before.items() if "journal" not in name} == {
        name: content for name, content in after.items() if "journal" not in name
    }


def test_what_is_done_is_not_done_again(first: BuildReport, base: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in (base / "built" / "images").iterdir()}
    again = build(base)
    assert (again.built, again.reused) == (0, 3) and again.manifest == first.manifest
    assert {path: path.stat().st_mtime_ns for path in (base / "built" / "images").iterdir()} == times


def test_files_by_other_names_are_the_same_files(first: BuildReport, base: Path) -> None:
    for number, path in enumerate(sorted((base / "dicom" / "image0").iterdir())):
        os.utime(path, ns=(0, 10**18 + number))
    assert build(base).built == 1
    for number, path in enumerate(sorted((base / "dicom" / "image0").iterdir(), reverse=True)):
        path.rename(path.with_name(f"{number}.dcm"))
    again = build(base)
    assert (again.built, again.reused) == (0, 3) and again.manifest == first.manifest


@pytest.mark.parametrize("folder", ["dicom", "dicom/built", ".", "link/built"])
def test_a_cohort_is_not_built_into_its_source_nor_around_it(base: Path, folder: str) -> None:
    (base / "link").symlink_to(base / "dicom")
    before = files_in(base / "dicom")
    with pytest.raises(CohortError, match="give the cohort a folder outside of the source") as caught:
        build(base, site_of(cohort_values(FOLDER, folder)))
    assert str(base) not in str(caught.value) and files_in(base / "dicom") == before


@pytest.mark.parametrize("kind", ["images", "labels", "sidecars"])
def test_a_file_that_was_changed_is_refused_until_it_is_built_again(first: BuildReport, base: Path, kind: str) -> None:
    files = list_cases(SITE.cohort("main"), base)
    case = first.manifest.cases[0].case
    path = next((base / "built" / kind).glob(f"{case}*"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    victim = next(each for each in files if each.case == case)
    with pytest.raises(GeometryError, match="not the one that was built") as caught:
        read_labelled_volume(victim, SITE.cohort("main"), tuple(CLASSES), case)
    assert caught.value.reason == "changed_file" and "cohort build" in str(caught.value)
    assert check_cohort(SITE, "main", None, base).refused_per_reason["changed_file"] == 1
    again = build(base)
    assert (again.built, again.reused) == (1, 2) and again.manifest == first.manifest


def test_other_settings_mean_building_again(first: BuildReport, base: Path) -> None:
    shifted = cohort_values(FOLDER, deid={"project": "prostates", "body_part": "PROSTATE", "dates": "remove"})
    other = site_of(shifted)
    with pytest.raises(CohortError, match=r"build\.labels or build\.deid .* changed after"):
        list_cases(other.cohort("main"), base)
    assert (again := build(base, other)).built == 3
    assert again.manifest.cohort_sha256 != first.manifest.cohort_sha256
    assert len(list_cases(other.cohort("main"), base)) == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [({"split": {"test": 1.0, "validation": 0.0}}, "split"), ({"classes": {"front": 2, "back": 1}}, "classes")],
)
def test_a_manifest_of_other_times_is_not_used(
    first: BuildReport, base: Path, change: dict[str, Any], said: str
) -> None:
    other = site_of({**cohort_values(FOLDER), **change})
    with pytest.raises(CohortError, match=f"{said} in the site's file changed"):
        list_cases(other.cohort("main"), base)
    report = build(base, other)
    assert report.built == (0 if said == "split" else 3)
    assert len(list_cases(other.cohort("main"), base)) == 5


def test_a_changed_source_is_built_again_and_a_vanished_one_leaves(first: BuildReport, base: Path) -> None:
    folders = sorted(path for path in (base / "dicom").glob("image[012]"))
    shutil.rmtree(folders[0])
    seg = next((base / "dicom" / "label1").iterdir())
    seg.write_bytes(seg.read_bytes())  # another time of change: nobody knows what else changed
    report = build(base)
    assert (report.built, report.reused, report.dropped) == (1, 1, 1)
    assert set(report.manifest.cases) < set(first.manifest.cases)
    for kind in ("images", "labels", "sidecars"):
        assert len(list((base / "built" / kind).iterdir())) == 2


def test_a_source_without_any_image_changes_nothing(first: BuildReport, base: Path) -> None:
    before = files_in(base / "built")
    shutil.rmtree(base / "dicom")
    (base / "dicom").mkdir()  # a share that is not mounted
    with pytest.raises(CohortError, match="none of the 0 series that were found is a MR image") as caught:
        build(base)
    assert "if the last patient was withdrawn, remove the cohort's folder" in str(caught.value)
    (base / "dicom").rmdir()
    with pytest.raises(DicomError, match="cannot be read"):
        build(base)
    assert files_in(base / "built") == before


def test_only_what_is_described_is_chosen(base: Path) -> None:
    for number, text in ((7, "Ax T2 [fs]"), (8, "localizer")):
        for path in (base / "dicom" / f"image{number - 7}").iterdir():
            dataset = dcmread(path)
            dataset.SeriesDescription = text
            dataset.save_as(path)
    chosen = site_of(cohort_values(FOLDER, image={"modality": "MR", "description": "ax*[FS]"}))
    assert len(build(base, chosen).manifest.cases) == 1
    none = site_of(cohort_values(FOLDER, image={"modality": "MR", "minimum_slices": 10}))
    with pytest.raises(CohortError, match="with 10 slices or more"):
        build(base, none)


def test_several_series_of_a_patient_stay_together(tmp_path: Path) -> None:
    for number in range(3):
        generated_study(tmp_path / "dicom", number, patient="PID-7")
    report = build(tmp_path)
    assert {entry.patient for entry in report.manifest.cases} == {SITE.pseudonym_of("PID-7")}
    assert len({entry.split for entry in report.manifest.cases}) == 1


def test_a_patient_is_the_same_in_every_cohort_of_a_site(first: BuildReport, base: Path) -> None:
    write_nifti(base / "scan.nii.gz", np.ones((3, 3, 3), np.float32))
    (base / "table.csv").write_text("case,patient,image,label\nc1,PID-0001,scan.nii.gz,scan.nii.gz\n")
    (base / "apart.csv").write_text("case,patient,image,label\nc1,PID-0009,s.nii.gz,s.nii.gz\n")
    tables = {
        name: {"source": {"layout": "csv", "table": f"{name}.csv"}, "classes": CLASSES} for name in ("table", "apart")
    }
    other = cohort_values(FOLDER, "other", deid={"project": "another", "body_part": "PROSTATE"})
    cohorts = {"main": cohort_values(FOLDER), "other": other, **tables}
    values = {"schema_version": 1, "pseudonym_key": KEY, "cohorts": cohorts}
    site = parse_config(SiteConfig, values, "the test's site")
    build_cohort(site, "other", base, 1)
    assert cohorts_sharing(site, "main", base) == ("other", "table")
    assert cohorts_sharing(site, "table", base) == ("main", "other")
    assert cohorts_sharing(site, "apart", base) == ()


def test_under_another_key_nothing_is_used_until_it_is_built_again(first: BuildReport, base: Path) -> None:
    (base / "table.csv").write_text("case,patient,image,label\nc1,PID-0001,scan.nii.gz,scan.nii.gz\n")
    table = {"source": {"layout": "csv", "table": "table.csv"}, "classes": CLASSES}
    cohorts = {"main": cohort_values(FOLDER), "table": table}
    values = {"schema_version": 1, "pseudonym_key": "5" * 64, "cohorts": cohorts}
    site = parse_config(SiteConfig, values, "the test's site")
    plan = PreprocessingPlan(spacing_mm=(1.0, 1.0, 1.0))
    uses: tuple[Callable[[], Any], ...] = (
        lambda: cohorts_sharing(site, "table", base),
        lambda: check_cohort(site, "main", None, base),
        lambda: load_usable_cases(site, "main", tuple(CLASSES), plan, "training", base),
        lambda: site_statistics(site, "main", None, base),
        lambda: write_key_file(site, ("main",), base, base / "key.csv"),
    )
    for use in uses:
        with pytest.raises(CohortError, match=r"another pseudonym_key .* run `fedvoxel cohort build` again"):
            use()
    report = build(base, site)
    assert (report.built, report.dropped) == (3, 5) and "5" * 16 not in report.manifest.model_dump_json()
    assert cohorts_sharing(site, "table", base) == ("main",)
    assert site_statistics(site, "main", None, base, minimum_cases=1)["cases"] == 3


def test_the_key_file_is_the_hospitals(first: BuildReport, base: Path) -> None:
    report = build(base)
    path = base / "keys" / "key.csv"
    assert write_origins(report, path) == 5
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "PID-0001" in text and "missing_label" in text
    assert "PID-0001" not in repr(report)
    with pytest.raises(CohortError, match="--key-file"):
        write_origins(report, path / "below")


def test_two_builds_do_not_meet(first: BuildReport, base: Path) -> None:
    with opened(base / "built"), pytest.raises(CohortError, match="being built by another process"):
        build(base)
    assert build(base).reused == 3


def test_a_folder_with_other_things_is_left_alone(base: Path) -> None:
    (base / "built").mkdir()
    (base / "built" / "thesis.docx").write_text("precious")
    with pytest.raises(CohortError, match=r"holds 1 files.* that are no part of a built cohort") as caught:
        build(base)
    assert "thesis" not in str(caught.value)
    assert files_in(base / "built") == {"thesis.docx": b"precious"}


def test_a_cohort_that_is_not_to_be_built(base: Path) -> None:
    plain = {key: value for key, value in cohort_values(FOLDER).items() if key != "build"}
    with pytest.raises(CohortError, match='no "build"'):
        build(base, site_of(plain))
    with pytest.raises(CohortError, match="not built yet: run `fedvoxel cohort build`"):
        list_cases(site_of(plain).cohort("main"), base)


def test_a_built_folder_may_be_used_where_nobody_builds(first: BuildReport, base: Path) -> None:
    plain = {key: value for key, value in cohort_values(FOLDER).items() if key != "build"}
    assert len(list_cases(site_of(plain).cohort("main"), base)) == 5


def test_labels_can_be_nifti_files(tmp_path: Path) -> None:
    rows = ["series,label"]
    for number in range(3):
        slices = generated_study(tmp_path / "dicom", number, labelled=False)
        codes = np.array([0, 4, 9], np.uint8)[label_voxels().transpose(2, 1, 0)]
        write_nifti(tmp_path / "labels" / f"{number}.nii.gz", codes, ras_affine(slices))
        rows += [f"{slices[0].SeriesInstanceUID},{number}.nii.gz"] if number < 2 else []
    (tmp_path / "labels" / "table.csv").write_text("\n".join(rows) + "\n")
    labels = {"kind": "nifti", "table": "labels/table.csv", "codes": {"front": 4, "back": 9}}
    site = site_of(cohort_values(FOLDER, labels=labels))
    report = build(tmp_path, site)
    assert len(report.manifest.cases) == 2 and report.refused_per_reason == {"missing_label": 1}
    usable = check_cohort(site, "main", None, tmp_path).usable
    assert usable[0].voxels_per_class == {"front": 233, "back": 42}
    (tmp_path / "labels" / "table.csv").write_text("series,file\n")
    with pytest.raises(CohortError, match="no column label"):
        build(tmp_path, site)


def test_two_labels_for_one_image_are_refused(tmp_path: Path) -> None:
    slices = generated_study(tmp_path / "dicom", 0)
    generated_study(tmp_path / "dicom", 1)
    write(tmp_path / "dicom" / "second", [seg_of(slices, label_voxels())])
    assert build(tmp_path).refused_per_reason == {"several_labels": 1}


def test_the_journal_is_believed_only_as_it_was_written(first: BuildReport, base: Path) -> None:
    entry = base / "built" / ".journal" / f"{first.manifest.cases[0].case}.json"
    content = json.loads(entry.read_text())
    entry.write_text(json.dumps(content)[:-5])
    again = build(base)
    assert (again.built, again.reused) == (1, 2) and again.manifest == first.manifest
