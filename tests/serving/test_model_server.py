"""The real server and KServe's own clients: the label of `fedvoxel predict`, and errors that say what to do."""

import importlib.util
import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import nibabel
import numpy as np
import psutil
import pytest

from fedvoxel.cli.main import main
from tests.evaluation.inference.command import RANGES, crl_file, root_file
from tests.export.package_sample import sample_package
from tests.export.test_package import signed_anew
from tests.serving.asked import AFFINE, SIZE, codes_of, image_of
from tests.serving.model_server import Server, ask, command, refusal, request, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("kserve") is None,
        reason="needs the extra `serve`, which wants an environment of its own: docs/serving.md",
    ),
    # Of KServe and what it brings.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

PROTOCOLS = ("rest", "grpc")
IMAGE = image_of(codes_of())
REFUSED = {"rest": "400", "grpc": "INVALID_ARGUMENT"}
SMALLEST_MB = 512


@pytest.fixture(scope="module", autouse=True)
def _kserve() -> None:
    from fedvoxel.serving.starting import load_kserve

    load_kserve()


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The package and whom it is verified against, as a command line has them."""
    folder = tmp_path_factory.mktemp("package")
    package = sample_package(folder, input=RANGES, plan={"spacing_mm": (1.5, 1.5, 1.5), "orientation": "LPI"})
    return [package.path, "--root", root_file(folder), "--crl", crl_file(folder)]


@pytest.fixture(scope="module")
def server(asked: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), *asked, "--memory-mb", SMALLEST_MB) as made:
        yield made


def predicted(asked: list[Any], folder: Path, image: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], Any]:
    """The label and the summary that `fedvoxel predict` writes."""
    nibabel.save(nibabel.Nifti1Image(image, AFFINE), folder / "scan.nii")
    package, *trust = map(str, asked)
    assert main(["predict", package, str(folder / "scan.nii"), *trust, "--out", str(folder / "out")]) == 0
    (found,) = (folder / "out").iterdir()
    label = np.asarray(nibabel.load(found / "label.nii.gz").dataobj)
    return label, json.loads((found / "summary.json").read_text())


def parameter(said: Any) -> Any:
    """A parameter of a reply, which gRPC wraps."""
    return json.loads(said if isinstance(said, str) else said.string_param)


@pytest.mark.parametrize("as_bytes", [True, False])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_label_is_the_one_of_predict_voxel_for_voxel(
    server: Server, asked: list[Any], tmp_path: Path, protocol: str, as_bytes: bool
) -> None:
    label, summary = predicted(asked, tmp_path, IMAGE)
    reply = ask(server, protocol, request(IMAGE, as_bytes=as_bytes))
    found = reply.get_output_by_name("label")
    assert (found.datatype, list(found.shape)) == ("UINT8", list(SIZE))
    np.testing.assert_array_equal(found.as_numpy(), label)
    volumes = [one["volume_ml"] for one in summary["structures"]]
    assert reply.get_output_by_name("volumes_ml").as_numpy().tolist() == volumes
    (result,) = parameter(reply.parameters["results"])
    assert result["remarks"] == summary["remarks"]
    model = parameter(reply.parameters["model"])
    assert model["package_sha256"] == summary["model"]["package_sha256"] and model["use"] == "research use only"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_several_images_and_all_outputs_come_in_one_reply(server: Server, protocol: str) -> None:
    images = np.stack([image_of(codes_of(seed)) for seed in (1, 2)])
    reply = ask(server, protocol, request(images, "label", "volumes_ml", "probabilities", "entropy"))
    shapes = {one.name: list(one.shape) for one in reply.outputs}
    assert shapes == {
        "label": [2, *SIZE],
        "volumes_ml": [2, 2],
        "probabilities": [2, 3, *SIZE],
        "entropy": [2, *SIZE],
    }
    for index, image in enumerate(images):
        alone = ask(server, protocol, request(image)).get_output_by_name("label").as_numpy()
        np.testing.assert_array_equal(reply.get_output_by_name("label").as_numpy()[index], alone)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: request(IMAGE, parameters={"modality": "CT"}), "wrong_modality: the model was made for MR, not CT"),
        (lambda: request(IMAGE, parameters={"body_part": "KNEE"}), "wrong_body_part: "),
        (lambda: request(IMAGE, parameters={"modalty": "MR"}), "malformed_request: expected no parameters but"),
        (lambda: request(IMAGE, "logits"), "malformed_request: expected outputs among"),
        (lambda: request(IMAGE, affine=np.diag([0.01, 1, 1, 1.0])), "implausible_spacing: expected voxels of"),
        (lambda: request(np.full(SIZE, np.nan, np.float32)), "non_finite: "),
        (lambda: request(np.arange(12e6, dtype=np.float32).reshape(200, 200, 300)), "too_large_for_memory: preparing"),
    ],
)
def test_what_predict_refuses_is_an_error_of_the_client(server: Server, protocol: str, made: Any, said: str) -> None:
    status, text = refusal(server, protocol, made())
    assert status == REFUSED[protocol] and text.startswith(said) and "\n" not in text


def test_a_body_that_no_bound_has_room_for_is_not_read(server: Server) -> None:
    large = np.zeros((256, 256, 240), np.float32)
    headers = {"inference-header-content-length": "2", "content-type": "application/octet-stream"}
    url = f"{server.rest}/v2/models/hippocampus/infer"
    reply = httpx.post(url, content=b"{}" + large.tobytes(), headers=headers, timeout=60)
    assert reply.status_code == 413 and reply.json()["error"].startswith("too_large_for_memory: ")
    status, _ = refusal(server, "grpc", request(large))
    assert status == "RESOURCE_EXHAUSTED"
    assert psutil.Process(server.process.pid).memory_info().rss < SMALLEST_MB * 2**20


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"content-type": "application/json"}, b"{"),
        ({"content-type": "application/json"}, b'{"inputs": "Doe^Jane"}'),
        ({"content-type": "application/json"}, b'{"inputs": [{"name": "image", "shape": [2], "datatype": "FP32", '
         b'"data": ["Doe^Jane"]}]}'),
        ({"content-type": "application/octet-stream"}, b"Doe^Jane"),
        ({"content-type": "application/octet-stream", "inference-header-content-length": "-1"}, b"Doe^Jane"),
        ({"content-type": "application/octet-stream", "inference-header-content-length": "8"}, b"Doe^Jane"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_one_line_that_quotes_nothing(
    server: Server, headers: dict[str, str], content: bytes
) -> None:
    reply = httpx.post(f"{server.rest}/v2/models/hippocampus/infer", content=content, headers=headers, timeout=60)
    assert reply.status_code == 400 and reply.json()["error"].startswith("malformed_request: ")
    assert "Doe" not in reply.text


def test_health_metadata_and_metrics(server: Server) -> None:
    for path, key in (("health/live", "live"), ("health/ready", "ready"), ("models/hippocampus/ready", "ready")):
        assert httpx.get(f"{server.rest}/v2/{path}").json()[key] is True
    assert httpx.get(f"{server.rest}/v2").json()["name"] == "fedvoxel"
    said = httpx.get(f"{server.rest}/v2/models/hippocampus").json()
    assert said["inputs"][0] == {"name": "image", "datatype": "FP32", "shape": [-1, -1, -1]}
    assert {one["name"]: one["datatype"] for one in said["outputs"]}["label"] == "UINT8"
    before = metrics(server)
    ask(server, "grpc", request(IMAGE))
    refusal(server, "rest", request(IMAGE, parameters={"modality": "CT"}))
    after = metrics(server)
    for name in (
        "fedvoxel_images_total",
        'fedvoxel_refused_total{reason="wrong_modality"}',
        'request_predict_seconds_count{model_name="hippocampus"}',
    ):
        assert after[name] > before.get(name, 0.0), name


def metrics(server: Server) -> dict[str, float]:
    lines = httpx.get(f"{server.rest}/metrics").text.splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


def test_another_model_and_other_doors_are_not_there(server: Server) -> None:
    url = f"{server.rest}/v2/repository/models/hippocampus"
    for verb in ("load", "unload"):
        assert httpx.post(f"{url}/{verb}").status_code == 501
    assert httpx.get(f"{server.rest}/v2/models/liver").status_code == 404
    for path in ("docs", "v1/models", "openai/v1/models"):
        assert httpx.get(f"{server.rest}/{path}").status_code == 404
    assert httpx.get(f"{server.rest}/v2/models/hippocampus/ready").json()["ready"] is True


def test_it_listens_on_this_machine_alone(server: Server) -> None:
    ours = [one for one in psutil.net_connections("inet") if one.pid == server.process.pid]
    listening = [one for one in ours if one.status == "LISTEN"]
    assert len(listening) == 2 and {one.laddr.ip.removeprefix("::ffff:") for one in listening} == {"127.0.0.1"}


def test_the_log_names_nobody_and_holds_no_traceback(server: Server) -> None:
    name = "DOE^JANE"
    for protocol in PROTOCOLS:
        ask(server, protocol, request(IMAGE, request_id=name))
        refusal(server, protocol, request(IMAGE, request_id=name, parameters={"modality": name}))
    httpx.get(f"{server.rest}/v2/models/{name}")
    log = server.log.read_text()
    assert "DOE" not in log and "Traceback" not in log and "INFO" not in log


def test_health_is_answered_while_an_image_is_at_work(asked: list[Any], tmp_path: Path) -> None:
    large = np.random.default_rng(0).random((160, 160, 160), np.float32)
    with serving(tmp_path, *asked) as server, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, server, "grpc", request(large))
        answered = 0
        while not waiting.done():
            assert httpx.get(f"{server.rest}/v2/health/live", timeout=30).status_code == 200
            answered += not waiting.done()
            time.sleep(0.05)
        assert waiting.result().get_output_by_name("label").as_numpy().shape == large.shape
    assert answered > 1


def test_it_ends_when_it_is_asked_to(asked: list[Any], tmp_path: Path) -> None:
    with serving(tmp_path, *asked) as server:
        server.process.terminate()
        assert server.process.wait(timeout=60) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.rest}/v2/health/live")


def test_a_package_that_cannot_be_trusted_is_not_served(asked: list[Any], tmp_path: Path) -> None:
    path = signed_anew(sample_package(tmp_path).path, schema_version=2)
    done = subprocess.run(command(path, *asked[1:]), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 17 and done.stdout == ""
    assert "update fedvoxel" in done.stderr and len(done.stderr.splitlines()) == 1
