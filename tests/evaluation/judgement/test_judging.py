import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.errors import CohortError, ConfigError
from fedvoxel.evaluation.inference.memory import MemoryBound
from fedvoxel.evaluation.inference.model import Model, open_model
from fedvoxel.evaluation.judgement.judgement import Judgement
from fedvoxel.evaluation.judgement.judgement_page import render_judgement
from fedvoxel.evaluation.judgement.run import Against, Task, evaluate, one_voxel_mm
from fedvoxel.evaluation.judgement.sharing import shareable
from fedvoxel.evaluation.judgement.subject import Asked, cohort_subjects, paired_subjects
from fedvoxel.evaluation.judgement.surface import diagonal_mm
from fedvoxel.evaluation.judgement.writing import prepare, write_judgement
from fedvoxel.export.description import ModelDescription
from tests.evaluation.judgement.made_up import (
    AFFINE,
    NAME,
    SHAPE,
    STRUCTURES,
    breaking_package,
    image,
    package,
    right_scans,
    root_file,
    truth,
    write_site,
)
from tests.export.made_calibration import made_calibration
from tests.export.package_sample import sample_description
from tests.volumes.scans import write_nifti

BOUND = MemoryBound(4096)
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return open_model(package(tmp_path_factory.mktemp("package")), BOUND, threads=1)


def task_of(model: Model, *site_files: Path, reader: str | None = None, **changes: Any) -> Task:
    asked = Asked("brains", "test", STRUCTURES, reader)
    return Task(model, cohort_subjects(site_files, asked), "brains", "test", **changes)


def without(label: np.ndarray, *codes: int) -> np.ndarray:
    return np.where(np.isin(label, codes), 0, label).astype(np.uint8)


def test_scores_are_of_the_original_voxels(model: Model, tmp_path: Path) -> None:
    judgement, views = evaluate(task_of(model, write_site(tmp_path, right_scans(6))))
    anterior, posterior = judgement.structures
    assert 0.97 < anterior.dice.value < 1.0 and posterior.dice.value == 1.0
    assert anterior.volume.bias.value_ml < 0 and posterior.volume_error_ml.value == 0
    assert (judgement.data.cases, judgement.data.patients, len(views)) == (6, 6, 6)
    assert posterior.calibration.ece.value < 0.05


def test_a_miss_a_false_alarm_and_what_is_rightly_not_found(model: Model, tmp_path: Path) -> None:
    label = truth()
    scans = [
        *right_scans(5),
        (image(without(label, 2)), label),
        (image(label), without(label, 2)),
        (image(without(label, 2)), without(label, 2)),
        (image(without(label, 1, 2)), without(label, 1, 2)),
    ]
    judgement, _ = evaluate(task_of(model, write_site(tmp_path, scans)))
    counts = judgement.structures[1].counts
    assert (counts.found, counts.missed, counts.false_alarms, counts.absent) == (5, 1, 1, 2)
    assert judgement.structures[1].dice.value == pytest.approx(5 / 7)
    assert judgement.structures[1].hd95_mm.value > 10
    assert any("was missed in 1 of 6 cases;" in caution for caution in judgement.cautions)
    assert any("found in 1 case without it" in caution for caution in judgement.cautions)
    assert {row.scores["posterior"].finding for row in judgement.cases[:2]} == {"missed", "false_alarm"}


def test_a_case_that_fails_is_told_and_the_others_go_on(model: Model, tmp_path: Path) -> None:
    site = write_site(tmp_path, right_scans(6))
    (tmp_path / f"{NAME}-2_image.nii.gz").write_bytes(b"no scan")
    known = tmp_path / f"{NAME}-3_image.json"
    known.write_text(json.dumps({"Modality": "CT"}))
    judgement, _ = evaluate(task_of(model, site))
    assert {skipped.reason for skipped in judgement.skipped} == {"unreadable", "wrong_modality"}
    assert (judgement.data.cases, judgement.data.skipped) == (4, 2)
    told = judgement.model_dump_json()
    assert NAME not in told and str(tmp_path) not in told


def test_subgroups_of_two_hospitals(model: Model, tmp_path: Path) -> None:
    sites = [write_site(tmp_path / name, right_scans(count)) for name, count in (("north", 6), ("south", 10))]
    judgement, _ = evaluate(task_of(model, *sites))
    rows = {(row.kind, row.name): row.dice.patients for row in judgement.groups if row.structure == "anterior"}
    assert rows["hospital", "north"] == 6 and rows["hospital", "south"] == 10
    assert rows["sex", "female"] == rows["sex", "male"] == 8
    assert {name for kind, name in rows if kind == "scanner"} == {"Alpha · 3 T", "Beta · 3 T"}


def test_names_are_no_formulas_and_no_markup(model: Model, tmp_path: Path) -> None:
    site = write_site(tmp_path / "$north^$ <b>&", right_scans(6))
    asked = task_of(model, site, against=against(tmp_path / "state", model))
    judgement, views = evaluate(asked)
    page = render_judgement(judgement, views)
    assert "<b>" not in page and "$north^$ &lt;b&gt;&amp;" in page


def test_one_case_alone_is_judged_without_intervals(model: Model, tmp_path: Path) -> None:
    judgement, _ = evaluate(task_of(model, write_site(tmp_path, right_scans(1))))
    assert judgement.structures[0].dice.low is None and judgement.structures[0].volume is None
    write_judgement(judgement, {}, prepare(tmp_path / "out", on_paper=False), on_paper=False)


def test_where_no_case_can_be_judged_the_report_says_so(model: Model, tmp_path: Path) -> None:
    site = write_site(tmp_path, right_scans(1))
    (tmp_path / f"{NAME}-0_image.nii.gz").write_bytes(b"no scan")
    judgement, views = evaluate(task_of(model, site))
    written = write_judgement(judgement, views, prepare(tmp_path / "out", on_paper=False), on_paper=False)
    assert "No case could be judged" in written.page.read_text()


def test_pieces_are_counted_where_asked(model: Model, tmp_path: Path) -> None:
    label = truth()
    label[16:18, 16:18, 12:14] = 1
    site = write_site(tmp_path, [(image(truth()), label), *right_scans(3)])
    judgement, _ = evaluate(task_of(model, site, pieces=frozenset({"anterior"})))
    pieces = judgement.structures[0].pieces
    assert (pieces.truth, pieces.sensitivity.value, pieces.false_per_case.value) == (5, 0.8, 0.0)
    assert judgement.structures[1].pieces is None
    with pytest.raises(ConfigError, match="structures of the model"):
        evaluate(task_of(model, site, pieces=frozenset({"liver"})))


def scans_with_a_break(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Right scans, the last of which has a voxel that the breaking model gives no number for."""
    shown = truth()
    shown[0, 0, 0] = 3
    return [*right_scans(count - 1), (image(shown), truth())]


@pytest.fixture
def breaking(tmp_path: Path) -> Model:
    return open_model(breaking_package(tmp_path), BOUND, threads=1)


def test_a_case_on_which_the_model_fails_counts_as_missed(breaking: Model, tmp_path: Path) -> None:
    judgement, views = evaluate(task_of(breaking, write_site(tmp_path, scans_with_a_break(6))))
    whole, _ = evaluate(task_of(breaking, write_site(tmp_path / "without", right_scans(5))))
    (failed,) = [row for row in judgement.cases if row.failure]
    assert failed.failure == "not_finite" and judgement.skipped == () and judgement.data.cases == 6
    for structure, before in zip(judgement.structures, whole.structures, strict=True):
        assert structure.counts.missed == 1 and structure.counts.patients == 6
        assert structure.dice.value == pytest.approx(5 / 6 * before.dice.value)
        assert failed.scores[structure.name].hd95_mm == pytest.approx(diagonal_mm(SHAPE, (1.0, 1.0, 1.5)))
        assert structure.calibration.ece.value == pytest.approx(before.calibration.ece.value)
    assert any(text.startswith("The model failed on 1 case, which counts as") for text in judgement.cautions)
    page = render_judgement(judgement, views)
    assert "the model failed</span>" in page and "failed on this image (not_finite)" in page


def test_a_case_on_which_one_of_two_models_fails_stays_in_the_comparison(
    breaking: Model, model: Model, tmp_path: Path
) -> None:
    site = write_site(tmp_path, scans_with_a_break(6))
    for own, other, sign in ((breaking, model, -1), (model, breaking, 1)):
        asked = task_of(own, site, against=against(tmp_path / f"state{sign}", other))
        judgement, _ = evaluate(asked)
        (test, _) = judgement.comparison.tests
        assert test.whole.difference.cases == 6 and test.whole.difference.value * sign > 0.1
        assert [bool(row.failure) for row in judgement.cases].count(True) == (sign < 0)
        assert [bool(row.other_failure) for row in judgement.cases].count(True) == (sign > 0)


def test_confidence_is_judged_as_a_clinician_sees_it(model: Model, tmp_path: Path) -> None:
    site = write_site(tmp_path, right_scans(6))
    plain, views = evaluate(task_of(model, site))
    assert plain.model.temperature is None and "no calibration" in render_judgement(plain, views)
    made = made_calibration(None, STRUCTURES, temperature=20.0)
    (tmp_path / "package").mkdir()
    packed = package(tmp_path / "package", members={"calibration.json": made.model_dump_json().encode()})
    unsure, views = evaluate(task_of(open_model(packed, BOUND, 1), site))
    assert unsure.model.temperature == 20.0 and "temperature 20" in render_judgement(unsure, views)
    assert unsure.structures[1].calibration.ece.value > plain.structures[1].calibration.ece.value + 0.1
    assert unsure.structures[1].dice == plain.structures[1].dice


def against(record: Path, model: Model | None, margin: float | None = 0.02) -> Against:
    return Against("model" if model else "reader", "the other", "b" * 64, "dice", margin, record, model)


def test_the_same_model_is_non_inferior_to_itself(model: Model, tmp_path: Path) -> None:
    site = write_site(tmp_path, right_scans(6))
    judgement, _ = evaluate(task_of(model, site, against=against(tmp_path / "state", model)))
    assert judgement.comparison.non_inferior is True
    assert [test.whole.difference.value for test in judgement.comparison.tests] == [0.0, 0.0]
    assert judgement.comparison.stated_at <= datetime.now(UTC).isoformat()
    with pytest.raises(ConfigError, match="result already"):
        evaluate(task_of(model, site, against=against(tmp_path / "state", model, margin=0.1)))


def test_a_second_reader_is_held_against_the_same_truth(model: Model, tmp_path: Path) -> None:
    scans = right_scans(6)
    site = write_site(tmp_path, scans)
    labels = tmp_path / "second"
    for number, (_, label) in enumerate(scans[:5]):
        label = label.copy()
        label[4:6] = 0
        write_nifti(labels / f"{NAME}-{number}.nii.gz", label, AFFINE)
    task = task_of(model, site, reader=str(labels), against=against(tmp_path / "state", None))
    judgement, _ = evaluate(task)
    assert judgement.comparison.tests[0].whole.verdict == "better"
    assert [skipped.reason for skipped in judgement.skipped] == ["missing_label"]


def test_a_reader_who_is_nobody_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="neither a cohort"):
        task_of(model, write_site(tmp_path, right_scans(1)), reader="nobody")


def test_models_that_find_something_else_are_not_compared(model: Model, tmp_path: Path) -> None:
    from tests.export.package_sample import structure

    other = package(tmp_path, structures=[structure("posterior"), structure("anterior")])
    task = task_of(model, write_site(tmp_path, right_scans(1)))
    asked = replace(task, against=against(tmp_path / "state", open_model(other, BOUND, 1)))
    with pytest.raises(ConfigError, match="cannot be compared"):
        evaluate(asked)


def test_pairs_of_files_are_numbered_not_named(model: Model, tmp_path: Path) -> None:
    for number, (grey, label) in enumerate(right_scans(3)):
        write_nifti(tmp_path / "images" / f"{NAME}-{number}.nii.gz", grey, AFFINE)
        write_nifti(tmp_path / "labels" / f"{NAME}-{number}.nii.gz", label, AFFINE)
    subjects = paired_subjects(tmp_path / "images", tmp_path / "labels", STRUCTURES)
    judgement, _ = evaluate(Task(model, subjects, "pairs of files", None))
    assert [row.case for row in sorted(judgement.cases, key=lambda row: row.case)] == ["case-1", "case-2", "case-3"]
    assert NAME not in judgement.model_dump_json()
    with pytest.raises(CohortError, match="same name"):
        paired_subjects(tmp_path / "images", tmp_path, STRUCTURES)


def test_a_split_without_cases_is_refused(tmp_path: Path) -> None:
    site = write_site(tmp_path, right_scans(1))
    with pytest.raises(CohortError, match="no case of the training split"):
        cohort_subjects([site], Asked("brains", "training", STRUCTURES))


def test_two_hospitals_of_one_name_are_refused(tmp_path: Path) -> None:
    sites = [write_site(tmp_path / where / "north", right_scans(1)) for where in ("one", "two")]
    with pytest.raises(CohortError, match="same name"):
        cohort_subjects(sites, Asked("brains", "test", STRUCTURES))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"plan": {"spacing_mm": [1.0, 1.0, 2.5]}}, 2.5),
        ({}, 1.0),
        (
            {
                "input": {
                    "modalities": ["CT"],
                    "body_parts": ["LIVER"],
                    "spacing_mm": {"low": 0.5, "high": 5},
                    "extent_mm": {"low": 100, "high": 600},
                }
            },
            1.6,
        ),
    ],
)
def test_the_tolerance_is_one_voxel_of_the_models_images(changes: dict[str, Any], expected: float) -> None:
    description: ModelDescription = sample_description(**changes)
    assert one_voxel_mm(description) == expected


def judged(model: Model, tmp_path: Path, count: int) -> Judgement:
    site = write_site(tmp_path, right_scans(count))
    return evaluate(task_of(model, site, against=against(tmp_path / "state", model)))[0]


def test_what_may_be_shared_is_of_nobody(model: Model, tmp_path: Path) -> None:
    judgement = judged(model, tmp_path, 8)
    told = json.dumps(shareable(judgement))
    for row in judgement.cases:
        assert row.case not in told and row.patient not in told
    assert shareable(judgement)["structures"][0]["dice"] == judgement.structures[0].dice.model_dump(exclude={"cases"})
    for secret in ("cases", "missed_cases", "hd95_median", "skipped"):
        assert f'"{secret}"' not in told


def test_counts_of_few_are_not_shared(model: Model, tmp_path: Path) -> None:
    label = truth()
    scans = [*right_scans(8), (image(without(label, 2)), label)]
    judgement, _ = evaluate(task_of(model, write_site(tmp_path, scans)))
    shared = shareable(judgement)
    assert judgement.structures[1].counts.missed == 1
    assert shared["structures"][1]["counts"] == {
        "patients": 9,
        "found": None,
        "misplaced": 0,
        "missed": None,
        "false_alarms": 0,
    }
    assert shared["structures"][0]["counts"]["found"] == 9


def test_a_structure_that_few_lack_is_not_shared(model: Model, tmp_path: Path) -> None:
    label = truth()
    empty = without(label, 2)
    judgement, _ = evaluate(task_of(model, write_site(tmp_path, [*right_scans(8), (image(empty), empty)])))
    shared = shareable(judgement)
    assert [one["name"] for one in shared["structures"]] == ["anterior"] and shared["not_told"] == ["posterior"]


def test_of_too_few_patients_nothing_is_shared(model: Model, tmp_path: Path) -> None:
    shared = shareable(judged(model, tmp_path, 4))
    assert shared["below_minimum"] is True and "structures" not in shared and "patients" not in shared["data"]


def test_no_minimum_below_the_sites_own(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 5 patients"):
        evaluate(task_of(model, write_site(tmp_path, right_scans(1)), minimum_patients=4))


def test_nothing_that_trains_is_needed(tmp_path: Path) -> None:
    package(tmp_path)
    root_file(tmp_path)
    site = write_site(tmp_path / "north", right_scans(6))
    code = f"""
import sys
from pathlib import Path

class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "monai", "nvflare"):
            raise ImportError(name)

sys.meta_path.insert(0, Refuses())
from fedvoxel.evaluation.inference.memory import MemoryBound
from fedvoxel.evaluation.inference.model import open_model
from fedvoxel.evaluation.judgement.judgement_page import render_judgement
from fedvoxel.evaluation.judgement.run import Task, evaluate
from fedvoxel.evaluation.judgement.subject import Asked, cohort_subjects
from fedvoxel.evaluation.judgement.writing import prepare, write_judgement
from fedvoxel.export.package import open_package
from fedvoxel.export.trust import read_trust

folder = Path({str(tmp_path)!r})
opened = open_package(folder / "hippocampus-1.0.0.fvpkg", read_trust(folder / "rootCA.pem", None))
subjects = cohort_subjects([Path({str(site)!r})], Asked("brains", "test", {STRUCTURES!r}))
judgement, views = evaluate(Task(open_model(opened, MemoryBound(4096), 1), subjects, "brains", "test"))
written = write_judgement(judgement, views, prepare(folder / "out", True), True)
print(written.paper.stat().st_size > 10_000, sorted({{"torch", "monai", "nvflare"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("True []", 0), done.stderr


def test_every_key_of_the_json_is_documented(model: Model, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text()
    documented = set(re.findall(r"[`\"]([a-z0-9_]+)[`\"]", text))
    of_estimates = {"value_ml", "low_ml", "high_ml", "voxels", "said", "true"}

    def keys(value: Any, named: bool = False) -> set[str]:
        if isinstance(value, dict):
            own = set() if named else set(value)
            inner = (keys(item, key in ("scores", "other", "implementations")) for key, item in value.items())
            return own.union(*inner)
        return set().union(*map(keys, value)) if isinstance(value, list) else set()

    site = write_site(tmp_path, right_scans(6))
    (tmp_path / f"{NAME}-1_image.nii.gz").write_bytes(b"no scan")
    asked = task_of(model, site, against=against(tmp_path / "state", model), pieces=frozenset({"anterior"}))
    judgement = evaluate(asked)[0].model_dump(mode="json")
    assert keys(judgement) - documented - of_estimates == set()


def test_printing_leaves_damaged_images_refused_everywhere_else() -> None:
    said = "from PIL import ImageFile; from fedvoxel.evaluation.judgement.paper import check_paper; check_paper(); "
    script = said + "import sys; sys.exit(3 if ImageFile.LOAD_TRUNCATED_IMAGES else 0)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=False).returncode == 0


def test_where_no_pdf_can_be_made_it_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(ConfigError, match="--no-pdf"):
        prepare(tmp_path / "out", on_paper=True)
    assert prepare(tmp_path / "out", on_paper=False).is_dir()
