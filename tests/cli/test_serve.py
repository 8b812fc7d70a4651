"""`fedvoxel serve`: what it refuses at the start, in the words of `fedvoxel predict`, and what it says."""

import importlib.util
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedvoxel.cli.main import main
from fedvoxel.export.publishing import Publisher
from fedvoxel.serving import starting
from fedvoxel.serving.answer import Answerer
from fedvoxel.serving.place import Place
from tests.evaluation.inference.bright_studies import bright_study
from tests.evaluation.inference.calibration_sample import bright_calibration
from tests.evaluation.inference.command import RANGES, crl_file, root_file
from tests.export.package_sample import sample_package, sample_signer, sample_trust
from tests.export.test_package import rewrite, signed_anew
from tests.export.throwaway_root import Root

Started = list[tuple[Answerer, Place]]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return sample_package(tmp_path, input=RANGES).path


@pytest.fixture
def trust(tmp_path: Path) -> list[str]:
    return ["--root", str(root_file(tmp_path)), "--crl", str(crl_file(tmp_path))]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What would have been started; nothing is."""
    asked: Started = []

    def start(answerer: Answerer, place: Place, on_ready: Callable[[int, int], None]) -> None:
        asked.append((answerer, place))
        on_ready(4711, 4712)

    monkeypatch.setattr(starting, "start_server", start)
    return asked


def test_a_package_is_served_on_this_machine_alone(
    package: Path, trust: list[str], started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(package), *trust]) == 0
    ((answerer, place),) = started
    assert place == Place("127.0.0.1", 8080, 8081) and answerer.model.predictor.bound.limit_mb == 4096
    assert "No index of releases" in answerer.standing.remarks()[0]
    said = capsys.readouterr()
    assert "hippocampus 1.0.0 is served by REST at http://127.0.0.1:4711, by gRPC at 127.0.0.1:4712" in said.out
    assert "Next: curl" in said.out and "whoever reaches" not in said.err


def test_a_wider_address_is_asked_for_and_says_what_it_means(
    package: Path, trust: list[str], started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--bind", "0.0.0.0", "--http-port", "0", "--grpc-port", "0", "--json"]  # noqa: S104
    assert main(["serve", *trust, *options, str(package)]) == 0
    said = capsys.readouterr()
    assert "unencrypted and without a sign-in" in said.err
    ready = json.loads(said.out)
    assert ready == {"model": "hippocampus", "version": "1.0.0", "rest": ready["rest"], "grpc": "0.0.0.0:4712"}


def test_a_hospitals_own_calibration_is_used(
    package: Path, trust: list[str], started: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.json"
    calibration = bright_calibration(tmp_path / "plain").model_dump(mode="json")
    own.write_text(json.dumps({"schema_version": 1, "package_sha256": "0" * 64, "calibration": calibration}))
    assert main(["serve", str(package), *trust, "--calibration", str(own)]) == 3
    assert "made with another package" in capsys.readouterr().err and started == []


def changed(package: Path, tmp_path: Path) -> list[str]:
    def change(members: dict[str, bytes]) -> None:
        members["model.onnx"] = members["model.onnx"][:-1] + b"x"

    rewrite(package, change)
    return []


def of_others(package: Path, tmp_path: Path) -> list[str]:
    sample_package(tmp_path, input=RANGES, identity=Root("other").issue())
    return []


def newer(package: Path, tmp_path: Path) -> list[str]:
    signed_anew(package, schema_version=2)
    return []


def withdrawn(package: Path, tmp_path: Path) -> list[str]:
    lead = Publisher(tmp_path / "releases", sample_signer(), sample_trust(), tmp_path / "lead.json")
    lead.publish(package, "released", "good", datetime.now(UTC))
    lead.set_state("hippocampus", "1.0.0", "withdrawn", "misses small ones", datetime.now(UTC))
    return ["--releases", str(tmp_path / "releases")]


def unknown(package: Path, tmp_path: Path) -> list[str]:
    lead = Publisher(tmp_path / "releases", sample_signer(), sample_trust(), tmp_path / "lead.json")
    lead.publish(sample_package(tmp_path / "other", name="another").path, "released", "good", datetime.now(UTC))
    return ["--releases", str(tmp_path / "releases")]


def unusable(package: Path, tmp_path: Path) -> list[str]:
    sample_package(tmp_path, input=RANGES, members={"model.onnx": b"nothing"})
    return ["--runtime", "onnxruntime"]


def missing(package: Path, tmp_path: Path) -> list[str]:
    package.unlink()
    return []


def no_runtime(package: Path, tmp_path: Path) -> list[str]:
    return ["--runtime", "tensorrt"]


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (changed, 17, "model.onnx is not what was signed"),
        (of_others, 17, "another consortium"),
        (newer, 17, "update fedvoxel"),
        (withdrawn, 17, "misses small ones"),
        (unknown, 17, "the index"),
        (missing, 17, "cannot be read"),
        (unusable, 18, "cannot use the model"),
        (no_runtime, 3, "expected --runtime"),
    ],
)
def test_what_predict_refuses_is_not_served(
    package: Path,
    trust: list[str],
    started: Started,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path, Path], list[str]],
    code: int,
    words: str,
) -> None:
    options = [*trust, *spoil(package, tmp_path)]
    study = str(bright_study(tmp_path / "study"))
    assert main(["predict", str(package), study, *options, "--out", str(tmp_path / "out")]) == code
    of_predict = capsys.readouterr().err
    assert main(["serve", str(package), *options]) == code
    assert capsys.readouterr().err == of_predict and started == []
    assert words in of_predict and len(of_predict.strip().splitlines()) == 1


def test_a_place_that_is_none_is_refused_before_the_package_is_opened(
    trust: list[str], started: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(tmp_path / "none.fvpkg"), *trust, "--bind", "localhost"]) == 3
    assert "--bind" in capsys.readouterr().err and started == []


@pytest.mark.skipif(importlib.util.find_spec("kserve") is not None, reason="kserve is installed")
def test_without_kserve_it_says_what_to_install(
    package: Path, trust: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(package), *trust, "--http-port", "0", "--grpc-port", "0"]) == 3
    assert "pip install '.[dicom,clinic,serve]'" in capsys.readouterr().err


# ------------------------------------------------------------------ the manifest


def manifest(package: Path, trust: list[str], *options: str, image: str = "registry.example/serve:1") -> int:
    return main(["serve", "manifest", str(package), *trust, "--image", image, "--storage", "pvc://models/a", *options])


def test_a_manifest_is_written_and_says_what_to_do(
    package: Path, trust: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "isvc.yaml"
    assert manifest(package, trust, "--out", str(out)) == 0
    said = capsys.readouterr()
    assert "kubectl apply -f" in said.out and "No index of releases" in said.err
    assert manifest(package, trust) == 0
    text = capsys.readouterr().out
    assert text == out.read_text()
    assert [one["kind"] for one in yaml.safe_load_all(text)] == ["ConfigMap", "InferenceService"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--image", "a b"], 3, "--image"),
        (["--storage", "models/a"], 3, "--storage"),
        (["--namespace", "My_Space"], 3, "--namespace"),
        (["--releases-claim", "a/b"], 3, "--releases-claim"),
        (["--out", "FILE/isvc.yaml"], 3, "--out"),
    ],
)
def test_what_a_cluster_does_not_take_is_refused(
    package: Path, trust: list[str], capsys: pytest.CaptureFixture[str], options: list[Any], code: int, words: str
) -> None:
    assert manifest(package, trust, *(one.replace("FILE", str(package)) for one in options)) == code
    assert words in capsys.readouterr().err


def test_no_manifest_is_written_for_a_package_of_others(
    package: Path, trust: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_others(package, tmp_path)
    assert manifest(package, trust, "--out", str(tmp_path / "isvc.yaml")) == 17
    assert "another consortium" in capsys.readouterr().err and not (tmp_path / "isvc.yaml").exists()


def test_help_has_an_example(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for words, said in ((["--help"], "fedvoxel serve PACKAGE"), (["start", "--help"], "--bind")):
        assert main(["serve", *words]) == 0
        shown = capsys.readouterr().out
        assert "Example" in shown and said in shown
    assert main(["serve", "manifest", "--help"]) == 0
    assert "pvc://" in capsys.readouterr().out
