import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import CohortError
from fedvoxel.volumes.cohort.label_table import read_label_table
from fedvoxel.volumes.layouts import CaseFiles, list_cases
from fedvoxel.volumes.site import CohortConfig
from fedvoxel.volumes.spinal_cord import spinal_cord_cohorts
from fedvoxel.volumes.table_layouts import list_csv, list_decathlon
from tests.volumes.scans import cohort_config, image_voxels, label_voxels, pairs_table, write_nifti, write_table


def problems(cases: tuple[CaseFiles, ...]) -> dict[str, str | None]:
    return {files.case: files.problem for files in cases}


# ------------------------------------------------------------------ csv


def test_table_lists_each_case_once_with_its_problem(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        write_nifti(tmp_path / "scans" / f"{name}.nii.gz", image_voxels())
        write_nifti(tmp_path / "scans" / f"{name}_label.nii.gz", label_voxels())
    rows = [
        {"case": "good", "patient": "p1", "image": "scans/a.nii.gz", "label": "scans/a_label.nii.gz"},
        {"case": "absolute", "patient": "", "image": tmp_path / "scans/b.nii.gz", "label": "scans/b_label.nii.gz"},
        {"case": "twice", "image": "scans/c.nii.gz", "label": "scans/c_label.nii.gz"},
        {"case": "twice", "image": "scans/d.nii.gz", "label": "scans/d_label.nii.gz"},
        {"case": "no label", "image": "scans/d.nii.gz", "label": ""},
        {"case": "lost label", "image": "scans/e.nii.gz", "label": "scans/lost.nii.gz"},
        {"case": "lost image", "image": "scans/lost.nii.gz", "label": "scans/a_label.nii.gz"},
        {"case": "no image", "image": "", "label": "scans/a_label.nii.gz"},
        {"case": "", "image": "scans/e.nii.gz", "label": "scans/e_label.nii.gz"},
    ]
    write_table(tmp_path / "cases.csv", rows, ("case", "patient", "image", "label"))
    listed = list_cases(cohort_config(), tmp_path)
    assert problems(listed) == {
        "good": None,
        "absolute": None,
        "twice": "duplicate_case",
        "no label": "duplicate_case",  # its image is also that of the second "twice"
        "lost label": "missing_label",
        "lost image": "missing_image",
        "no image": "missing_image",
        "row 10": "unnamed_case",
    }
    assert {files.case: files.patient for files in listed if files.problem is None} == {
        "good": "p1",
        "absolute": "absolute",
    }


def test_links_that_go_in_a_circle_are_files_that_are_missing(tmp_path: Path) -> None:
    pairs_table(tmp_path, 2)
    before = list_cases(cohort_config(), tmp_path)
    circle = before[0].image
    assert circle
    circle.unlink()
    circle.symlink_to(circle)
    found = list_cases(cohort_config(), tmp_path)
    assert [files.case for files in found] == [files.case for files in before]
    assert found[0].real_image == circle and found[0].problem == "missing_image"


def test_one_image_under_two_names_is_refused_both_times(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", image_voxels())
    write_nifti(tmp_path / "label.nii.gz", label_voxels())
    (tmp_path / "link.nii.gz").symlink_to(tmp_path / "a.nii.gz")
    rows = [
        {"case": name, "image": image, "label": "label.nii.gz"}
        for name, image in (("x", "a.nii.gz"), ("y", "./a.nii.gz"), ("z", "link.nii.gz"))
    ]
    write_table(tmp_path / "cases.csv", rows)
    assert set(problems(list_cases(cohort_config(), tmp_path)).values()) == {"duplicate_case"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "FileNotFoundError"),
        (b"case;image;label\n", "no column case, image, label"),
        (b"case,image\nx,y\n", "no column label"),
        (b"\xff\xfe\x00", "UnicodeDecodeError"),
        (b"", "no column"),
    ],
)
def test_unusable_table_is_a_cohort_error_without_paths(tmp_path: Path, content: bytes | None, expected: str) -> None:
    if content is not None:
        (tmp_path / "cases.csv").write_bytes(content)
    with pytest.raises(CohortError, match=expected) as caught:
        list_cases(cohort_config(), tmp_path)
    assert str(tmp_path) not in str(caught.value)
    assert "source.table" in str(caught.value)


def test_table_of_a_spreadsheet_with_byte_order_mark_is_read(tmp_path: Path) -> None:
    table = pairs_table(tmp_path, 2)
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n"))
    assert set(problems(list_cases(cohort_config(), tmp_path)).values()) == {None}


# ------------------------------------------------------------------ decathlon


def decathlon_config() -> CohortConfig:
    source = {"layout": "decathlon", "dataset_json": "Task04/dataset.json"}
    return parse_config(CohortConfig, {"source": source, "classes": {"anterior": 1}}, "the cohort")


def test_decathlon_list_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "Task04"
    write_nifti(folder / "imagesTr" / "one.nii.gz", image_voxels())
    write_nifti(folder / "labelsTr" / "one.nii.gz", label_voxels())
    items: list[Any] = [
        {"image": "./imagesTr/one.nii.gz", "label": "./labelsTr/one.nii.gz"},
        {"image": "./imagesTr/two.nii.gz", "label": "./labelsTr/two.nii.gz"},
        {"image": "./imagesTr/one.nii.gz"},
        "three",
    ]
    (folder / "dataset.json").write_text(json.dumps({"training": items[:2] + items[3:], "test": ["x"]}))
    expected = {"one": None, "two": "missing_image", "item 3": "unnamed_case"}
    assert problems(list_cases(decathlon_config(), tmp_path)) == expected
    (folder / "dataset.json").write_text(json.dumps({"training": items[::2]}))
    assert problems(list_cases(decathlon_config(), tmp_path)) == {"one": "duplicate_case"}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"training": {}}', "\x00"])
def test_unusable_dataset_json_is_a_cohort_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "Task04").mkdir()
    (tmp_path / "Task04" / "dataset.json").write_text(content)
    with pytest.raises(CohortError, match=r"source\.dataset_json"):
        list_cases(decathlon_config(), tmp_path)


# ------------------------------------------------------------------ bids


def bids_config(**changes: Any) -> CohortConfig:
    source = {"layout": "bids", "root": "tree", "image": "run-1_T2w", "labels": {"cord": "seg", "grey": "gmseg"}}
    return parse_config(CohortConfig, {"source": {**source, **changes}}, "the cohort")


def add_subject(root: Path, case: str, image: bool = True, masks: tuple[str, ...] = ("seg", "gmseg")) -> None:
    folder = Path(*case.split("_")) / "anat"
    if image:
        write_nifti(root / folder / f"{case}_run-1_T2w.nii.gz", image_voxels())
    for mask in masks:
        path = root / "derivatives" / "labels" / folder / f"{case}_run-1_T2w_{mask}.nii.gz"
        write_nifti(path, (label_voxels() > 0).astype("float64"))


def test_bids_tree_lists_each_case_with_its_problem(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    add_subject(root, "sub-01")
    add_subject(root, "sub-02_ses-1")
    add_subject(root, "sub-02_ses-2")
    add_subject(root, "sub-03", masks=())
    add_subject(root, "sub-04", masks=("seg",))
    add_subject(root, "sub-05", image=False)
    add_subject(root, "sub-06")
    twin = root / "sub-06" / "anat" / "sub-06_run-1_T2w.nii"
    write_nifti(twin, image_voxels())
    shutil.copy(twin, root / "sub-01" / "anat" / "sub-01_run-2_T2w.nii")
    listed = list_cases(bids_config(), tmp_path)
    assert problems(listed) == {
        "sub-01": None,
        "sub-02_ses-1": None,
        "sub-02_ses-2": None,
        "sub-03": "missing_label",
        "sub-04": "missing_label",
        "sub-05": "missing_image",
        "sub-06": "duplicate_case",
    }
    assert {files.case: files.patient for files in listed}["sub-02_ses-2"] == "sub-02"
    assert [path.name for path in listed[0].label] == ["sub-01_run-1_T2w_seg.nii.gz", "sub-01_run-1_T2w_gmseg.nii.gz"]


def test_two_masks_for_one_class_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    add_subject(root, "sub-01")
    path = root / "derivatives" / "labels" / "sub-01" / "anat" / "sub-01_run-1_T2w_seg.nii"
    write_nifti(path, label_voxels())
    assert problems(list_cases(bids_config(), tmp_path)) == {"sub-01": "duplicate_case"}


def test_patient_pattern_must_match(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    add_subject(root, "sub-01Ses1")
    add_subject(root, "sub-01Ses2")
    add_subject(root, "sub-x")
    listed = list_cases(bids_config(patient_pattern=r"sub-(\d+)Ses"), tmp_path)
    assert problems(listed) == {"sub-01Ses1": None, "sub-01Ses2": None, "sub-x": "unknown_patient"}
    assert {files.patient for files in listed if files.problem is None} == {"01"}


def test_participants_choose_the_subjects(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    add_subject(root, "sub-01")
    add_subject(root, "sub-02")
    wanted = bids_config(participants={"Site": ["Here"]})
    with pytest.raises(CohortError, match=r"participants\.tsv"):
        list_cases(wanted, tmp_path)
    (root / "participants.tsv").write_text("participant_id\tSite\nsub-01\tHere\nsub-02\tThere\n")
    assert list(problems(list_cases(wanted, tmp_path))) == ["sub-01"]
    with pytest.raises(CohortError, match="Scanner"):
        list_cases(bids_config(participants={"Scanner": ["x"]}), tmp_path)


def test_missing_bids_root_is_a_cohort_error(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"source\.root"):
        list_cases(bids_config(), tmp_path)


def test_spinal_cord_hospitals_find_their_volumes(data_folder: Path) -> None:
    root = data_folder / "spinal_cord_gm_6sites" / "bids"
    found = {
        hospital: list_cases(parse_config(CohortConfig, cohort, hospital), Path("/"))
        for hospital, cohort in spinal_cord_cohorts(root).items()
    }
    assert {hospital: [files.case for files in cases] for hospital, cases in found.items()} == {
        "ucl": ["sub-9418"],
        "nwu": ["sub-9584"],
        "philips": ["sub-9604"],
        "milan": ["sub-9709Ses1", "sub-9709Ses2"],
        "ceitec": ["sub-10062Ses1"],
    }
    assert {files.problem for cases in found.values() for files in cases} == {None}
    assert {files.patient for files in found["milan"]} == {"9709"}


def test_spinal_cord_labels_without_image_are_refused(data_folder: Path, tmp_path: Path) -> None:
    folder = data_folder / "spinal_cord_gm_6sites"
    labels = tmp_path / "derivatives" / "labels"
    shutil.copytree(folder / "bad_input" / "labels_without_image", labels)
    cohort = spinal_cord_cohorts(tmp_path)["ucl"]
    cohort["source"]["participants"] = {}
    listed = list_cases(parse_config(CohortConfig, cohort, "the cohort"), tmp_path)
    assert len(listed) == 4
    assert set(problems(listed).values()) == {"missing_image"}


@pytest.mark.parametrize("read", [list_csv, list_decathlon, read_label_table])
def test_a_pipe_in_the_place_of_a_list_is_not_waited_for(read: Callable[[Path], object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list")
    with pytest.raises(CohortError, match="cannot be used"):
        read(tmp_path / "list")


def test_a_list_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("[" * 100_000)
    with pytest.raises(CohortError, match="a JSON file, got RecursionError"):
        list_decathlon(tmp_path / "dataset.json")
