"""A package holds the model in every form, what is known of it, and nothing of the sites or of this machine."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from fedvoxel.errors import ConfigError, JobError, PackageError
from fedvoxel.export.agreement import LARGEST_SOFTMAX, LEAST_ARGMAX
from fedvoxel.export.bundle import bundle_of
from fedvoxel.export.calibration import calibration_of
from fedvoxel.export.exporting import Beside, export_model
from fedvoxel.export.job_model import read_description
from fedvoxel.export.manifest import ONNX_OPSET
from fedvoxel.export.package import open_package
from fedvoxel.export.provenance import Provenance
from fedvoxel.federation.outcome import ModelFile
from fedvoxel.privacy.guarantee import NO_GUARANTEE
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.updates.weights_file import save_weights
from tests.export.exported_job import LABELS, SITES, description_file, exported, job_model, told_job, told_of
from tests.export.made_calibration import made_calibration
from tests.export.package_sample import sample_description, sample_package, sample_signer, sample_trust
from tests.export.throwaway_root import NOW
from tests.finished_job import JOB_ID, blob_task, finished_job, initial_weights
from tests.sample_run import private_outcome


def provenance() -> Provenance:
    return Provenance.model_validate_json(exported().member("provenance.json"))


# ------------------------------------------------------------------ what is in it


def test_the_package_opens_with_the_consortiums_root() -> None:
    package = open_package(exported().path, sample_trust(), NOW)
    assert package.description == sample_description(**LABELS) and package.calibration is not None
    assert {"model.onnx", "provenance.json", "sbom.cdx.json", "docs/model_card.md"} <= set(package.names)


def test_the_weights_load_without_running_code_and_are_the_runs() -> None:
    state = torch.load(io.BytesIO(exported().member("bundle/models/model.pt")), weights_only=True)
    weights = initial_weights(blob_task())
    assert all((state[name].numpy() == array).all() for name, array in weights.items())


def test_onnx_is_one_file_of_the_pinned_opset_that_takes_any_size() -> None:
    model = onnx.load_from_string(exported().member("model.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import if one.domain == ""] == [("", ONNX_OPSET)]
    assert [one.name for one in model.graph.input] == ["image"] and [one.name for one in model.graph.output] == [
        "logits"
    ]
    assert [bool(axis.dim_param) for axis in model.graph.input[0].type.tensor_type.shape.dim] == [1, 0, 1, 1, 1]
    assert not any(one.external_data for one in model.graph.initializer)


def test_the_tolerance_and_what_was_found_stand_in_the_package() -> None:
    forms = provenance().forms
    assert (forms.least_argmax_agreement, forms.largest_softmax_difference) == (LEAST_ARGMAX, LARGEST_SOFTMAX)
    assert set(forms.found) == {"torch.export", "ONNX"} and forms.any_window_size
    for found in forms.found.values():
        assert found.voxels > 10_000 and found.argmax_agreement >= LEAST_ARGMAX
        assert found.largest_softmax_difference <= LARGEST_SOFTMAX


def test_provenance_says_which_run_and_who_took_part_by_pseudonym() -> None:
    found, job = provenance(), exported().path.parent / JOB_ID
    assert found.origin.outcome_sha256 == sha256_of_file(job / "workspace" / "outcome.json")
    assert found.origin.model_sha256 == sha256_of_file(job / "workspace" / "global_model.npz")
    assert found.origin.audit_head == "3e" * 32 and found.origin.tested
    assert sorted(found.sites) == ["site-1", "site-2"]
    assert sorted(part.training_cases or 0 for part in found.sites.values()) == [4, 9]
    assert found.privacy.claim == NO_GUARANTEE and found.privacy.guarantee is None


def test_the_order_of_sites_does_not_tell_whose_a_pseudonym_is(tmp_path: Path) -> None:
    model = job_model(told_job(tmp_path))
    turned = replace(model, pseudonyms={"hospital-b": "site-1", "hospital-a": "site-2"})
    assert list(told_of(turned)[0].sites) == ["site-1", "site-2"]


def test_no_site_no_folder_of_this_machine_is_in_any_member() -> None:
    package, here = exported(), str(Path(sys.prefix)).encode()
    for name in package.names:
        content = package.member(name)
        for secret in (*(site.encode() for site in SITES), here, b"site-packages", b"app_custom", b"fedvoxel_test_"):
            assert secret not in content, (name, secret)


def test_the_model_card_says_what_is_known_and_no_more() -> None:
    card = exported().member("docs/model_card.md").decode()
    for words in (
        "# Hippocampus (hippocampus 1.0.0)",
        "Research on volumes of the hippocampus.",
        "Crops of one hospital only.",
        "| 1 | Bright blob | SCT 5366008 Hippocampus | – |",
        "0.800 (0.800 to 0.800)",
        f"In the words of the run: {NO_GUARANTEE}",
        "nobody has put a bound on that here",
        "Not a medical device",
    ):
        assert words in card, words


def test_a_guarantee_is_quoted_whole_and_no_count_is_told(tmp_path: Path) -> None:
    private = private_outcome()
    said = {name: getattr(private, name) for name in ("privacy", "guarantee", "channels", "start_from")}
    job = told_job(tmp_path, test={}, **said)
    found, card = told_of(job_model(job))
    assert f"In the words of the run: {private.privacy}" in card and "nobody has put a bound" not in card
    assert (
        "not told" in card and "The run sent no scores" in card and "head of the server's audit log: not given" in card
    )
    assert found.privacy.guarantee == private.guarantee
    assert [part.training_cases for part in found.sites.values()] == [None, None]


def test_the_bill_of_materials_is_cyclonedx_and_lists_the_model_and_the_software() -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    content = exported().member("sbom.cdx.json").decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content) is None
    bill = json.loads(content)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill | {"components": 1})) is not None
    listed = {one["name"]: one for one in bill["components"]}
    assert listed["model.onnx"]["hashes"][0]["content"] == exported().manifest.members["model.onnx"].sha256
    assert listed["torch"]["purl"].startswith("pkg:pypi/torch@") and listed["nvflare"]["version"] == "2.9.0"
    assert {"filelock", "sympy"} <= set(listed)


# ------------------------------------------------------------------ what is refused


def test_a_site_local_job_is_refused(tmp_path: Path) -> None:
    local = blob_task(site_local=["*.bias"])
    with pytest.raises(ConfigError, match="leaves some layers to each hospital"):
        job_model(told_job(tmp_path, local))


def test_a_personal_model_is_refused_and_the_common_one_of_such_a_job_is_not(tmp_path: Path) -> None:
    job = told_job(tmp_path, blob_task(personal={"name": "ditto"}))
    with pytest.raises(ConfigError, match="personal model never leaves"):
        job_model(job, "personal")
    assert job_model(job).tested


@pytest.mark.parametrize("status", ["failed", "aborted"])
def test_a_run_that_did_not_finish_is_refused(tmp_path: Path, status: str) -> None:
    job = told_job(tmp_path, status=status, reason="no quorum")
    with pytest.raises(JobError, match=f"the run {status}"):
        job_model(job)


def test_a_model_that_is_not_the_runs_is_refused(tmp_path: Path) -> None:
    job = told_job(tmp_path)
    path = job / "workspace" / "global_model.npz"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(JobError, match="not the file that the run wrote"):
        job_model(job)
    path.unlink()
    with pytest.raises(JobError, match="missing"):
        job_model(job)


def test_a_model_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    weights = initial_weights(blob_task())
    next(iter(weights.values())).flat[0] = float("nan")
    with pytest.raises(JobError, match="not finite"):
        job_model(finished_job(tmp_path, blob_task(), weights))


def test_scores_of_another_model_are_not_claimed(tmp_path: Path) -> None:
    best = tmp_path / JOB_ID / "workspace" / "best_model.npz"
    save_weights(best, {name: array + 1 for name, array in initial_weights(blob_task()).items()})
    job = told_job(tmp_path, best_model=ModelFile(file=best.name, sha256=sha256_of_file(best)), best_round=1)
    chosen, last = job_model(job), job_model(job, "last")
    assert (chosen.file.file, chosen.round, chosen.tested) == ("best_model.npz", 1, True)
    assert (last.file.file, last.round, last.tested) == ("global_model.npz", 2, False)
    _, card = told_of(last)
    assert "Nobody tested this model" in card and "0.800" not in card


@pytest.mark.parametrize("text", ["$__import__('os').system('true')", "@bundle_root", "%configs/x.json"])
def test_an_argument_that_monai_would_run_is_refused(tmp_path: Path, text: str) -> None:
    for arguments in ({"norm": text}, {"act": ["PRELU", {"x": text}]}, {"act": {"_target_": "os.system"}}):
        with pytest.raises(ConfigError, match="MONAI reads"):
            bundle_of(sample_description(**LABELS), "UNet", arguments)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_sha256": "b" * 64}, "is of other weights"),
        ({"model_sha256": None}, "is of other weights"),
        ({"structures": ("other",)}, "is of a model of other; this one finds blob"),
    ],
)
def test_a_calibration_of_another_model_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    model = job_model(told_job(tmp_path))
    made = made_calibration(**{"model_sha256": model.file.sha256} | changes)
    beside = Beside(calibration=made.model_dump_json().encode())
    with pytest.raises(ConfigError, match=said):
        export_model(model, sample_description(**LABELS), sample_signer(), tmp_path / "out", NOW, beside)
    assert not (tmp_path / "out").exists()


def test_a_package_whose_calibration_is_of_other_weights_is_not_used(tmp_path: Path) -> None:
    whole = exported()
    assert calibration_of(whole) is not None
    made = made_calibration("b" * 64).model_dump_json().encode()
    members = {"provenance.json": whole.member("provenance.json"), "calibration.json": made}
    with pytest.raises(PackageError, match="is of other weights"):
        calibration_of(sample_package(tmp_path, members=members, **LABELS))


def test_a_calibration_that_is_no_json_is_refused(tmp_path: Path) -> None:
    model = job_model(told_job(tmp_path))
    with pytest.raises(PackageError, match=r"calibration\.json is no JSON object"):
        export_model(model, sample_description(**LABELS), sample_signer(), tmp_path, NOW, Beside(calibration=b"[]"))


# ------------------------------------------------------------------ descriptions


def test_a_description_is_completed_with_the_jobs_plan_and_window(tmp_path: Path) -> None:
    task = blob_task(inference={"roi_size": [16, 16, 16], "overlap": 0.5})
    read = read_description(description_file(tmp_path), task)
    assert read.plan == task.plan and read.inference == task.training.inference


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"structures": []}, "structures"),
        (
            {"structures": [LABELS["structures"][0], {**LABELS["structures"][0], "name": "b", "label": "b"}]},
            "classes blob",
        ),
        ({"structures": [{**LABELS["structures"][0], "name": "Blob"}]}, "the job's classes blob"),
    ],
)
def test_a_description_of_something_else_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_description(description_file(tmp_path, **changes), blob_task())


def test_a_description_with_another_plan_than_the_jobs_is_refused(tmp_path: Path) -> None:
    path = description_file(tmp_path)
    path.write_text(path.read_text().replace("{", '{"plan": {"orientation": "LPS"},', 1))
    with pytest.raises(ConfigError, match="not the job's"):
        read_description(path, blob_task())
    path.write_text("[]")
    with pytest.raises(ConfigError, match="no JSON object"):
        read_description(path, blob_task())
